package host

import (
	"context"
	"slices"
	"strconv"
	"strings"
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
			Desired: admin.Desired{Hash: last.Hash, Files: filePaths(desired(g.set))},
			Running: admin.Running{
				Revision: g.revision, Hash: g.set.Hash, AppliedAt: applied.At, Source: applied.Source, Rules: len(g.set.Rules),
				Changes: changeViews(applied.Changes),
			},
			LastAttempt: admin.Attempt{
				At: last.At, Source: last.Source, Result: last.Result, Revision: last.Number, Hash: last.Hash,
				Error: last.Error, Problems: last.Problems, Changes: changeViews(last.Changes),
			},
			InSync:  h.inSync(last),
			StandIn: h.standIn(g.set, last),
		},
		Watch:          h.watchView(),
		PendingRestart: pendingViews(g.pending),
		Listeners:      h.listeners.Status(g.set.Manifest),
		NotAccepting:   h.listeners.NotAccepting(),
		Budget:         h.budgetView(),
		Services:       []admin.ServiceStatus{},
		Breakers:       slices.Collect(g.policies.Breakers()),
		Limiters:       slices.Collect(g.policies.Limiters()),
		Upstreams:      upstreamViews(g),
		Discovery:      clusterViews(g),
		Warnings:       applied.Warnings,
	}
	s.Expiring, s.ExpiringMore = expiryViews(g.set, time.Now())
	for _, c := range checks {
		s.Ready = s.Ready && c.OK
	}
	for i, err := range g.ready(ctx) {
		s.Services = append(s.Services, serviceStatus(g.services[i], err))
	}
	return s, nil
}

// desired are the files that are to be in force.
func desired(set *config.Set) []config.File {
	if set.StandIn != "" {
		return set.Desired
	}
	return set.Files
}

// standIn returns what runs in place of files that are wrong, and which these are after the last attempt.
func (h *Host) standIn(set *config.Set, last Revision) *admin.StandIn {
	if set.StandIn == "" {
		return nil
	}
	problems := set.Rejected.Errors()
	if found := last.Problems.Errors(); last.Result == ResultRejected && len(found) > 0 {
		problems = found
	}
	return &admin.StandIn{What: set.StandIn, Mend: problems.Files(), Problems: problems}
}

func serviceStatus(s *service, unready error) admin.ServiceStatus {
	v := admin.ServiceStatus{
		Name: s.config.Name, Handler: s.config.Handler, Aliases: s.config.Aliases, Ready: true, InFlight: s.instance.inFlight(),
	}
	for _, m := range s.methods {
		v.Methods = append(v.Methods, m.name)
	}
	if unready != nil {
		v.Ready, v.Detail = false, unready.Error()
	}
	return v
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
		field := strings.Trim(c.Subject+"."+c.Path, ".")
		list = append(list, admin.Pending{Field: field, Running: c.Old, Desired: c.New, Position: c.Position.String()})
	}
	return list
}
