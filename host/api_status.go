package host

import (
	"context"
	"strconv"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Status is the state of the host: what its files say, what runs, and what the last attempt came to.
func (a api) Status(ctx context.Context) (*admin.Status, error) {
	h := a.h
	g := h.current.Load()
	last := h.history.latest()
	applied, _ := h.history.applied(g.revision)
	checks := a.Checks(ctx)
	s := &admin.Status{
		Host: h.name, Version: h.version, StartedAt: h.started, UptimeSeconds: time.Since(h.started).Seconds(),
		Ready: true, Draining: h.draining.Load(), Checks: checks,
		Policies: admin.Policies{
			Desired: admin.Desired{Hash: last.Hash, Files: filePaths(g.set.Files)},
			Running: admin.Running{
				Revision: g.revision, Hash: g.set.Hash, AppliedAt: applied.At, Source: applied.Source, Rules: len(g.set.Rules),
			},
			LastAttempt: admin.Attempt{
				At: last.At, Source: last.Source, Result: last.Result, Revision: last.Number, Hash: last.Hash,
				Error: last.Error, Problems: problemViews(last.Problems),
			},
			InSync: last.Result != ResultRejected && g.set.StandIn == "",
		},
		Watch:          h.watchView(),
		PendingRestart: pendingViews(g.pending),
		Listeners:      a.listeners(),
		Services:       []admin.ServiceStatus{},
		Breakers:       a.breakers(g),
		Limiters:       a.limiters(g),
		Warnings:       problemViews(applied.Warnings),
	}
	for _, c := range checks {
		s.Ready = s.Ready && c.OK
	}
	for _, svc := range g.services {
		s.Services = append(s.Services, serviceStatus(ctx, svc))
	}
	return s, nil
}

func serviceStatus(ctx context.Context, s *service) admin.ServiceStatus {
	v := admin.ServiceStatus{
		Name: s.config.Name, Handler: s.config.Handler, Aliases: s.config.Aliases, Ready: true, InFlight: s.instance.inFlight(),
	}
	for _, m := range s.methods {
		v.Methods = append(v.Methods, m.name)
	}
	if err := s.instance.service.Ready(ctx); err != nil {
		v.Ready, v.Detail = false, err.Error()
	}
	return v
}

func (a api) listeners() []admin.Listener {
	h := a.h
	h.applying.Lock()
	defer h.applying.Unlock()
	list := []admin.Listener{}
	for _, l := range h.current.Load().set.Manifest.Listeners {
		st, ok := h.stages[l.Name]
		if !ok {
			continue
		}
		list = append(list, admin.Listener{
			Name: l.Name, Address: st.socket.addr().String(), Protocols: l.Protocols,
			Connections: int(st.conns.Load()), Local: localOnly(st.socket.addr()),
		})
	}
	return list
}

func filePaths(files []config.File) []string {
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.Path
	}
	return paths
}

func pendingViews(changes config.Changes) []admin.Pending {
	list := []admin.Pending{}
	for _, c := range changes {
		field := c.Subject
		if c.Path != "" {
			field += "." + c.Path
		}
		list = append(list, admin.Pending{Field: field, Running: c.Old, Desired: c.New, Position: c.Position.String()})
	}
	return list
}
