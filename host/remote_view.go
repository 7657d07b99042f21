package host

import (
	"slices"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/wire/client"
)

// Remote is what the gateway of a host leads to on other hosts.
type Remote struct {
	Etcd     string   // the discovery that knows the services
	Services []string // those that it knows now and that may be reached, sorted
	Err      error    // why nothing newer is known
}

// Remote is what the gateway leads to on other hosts; nil when it leads to none.
func (h *Host) Remote() *Remote {
	r := h.current.Load().remote
	if r == nil {
		return nil
	}
	names := r.all()
	slices.Sort(names)
	return &Remote{Etcd: r.config.Etcd, Services: names, Err: r.link.found.Load().err}
}

// passedTo is what the gateway's client knows of the services of other hosts that were called, as many as are shown.
func (g *generation) passedTo() []client.ServiceStatus {
	if g.remote == nil {
		return nil
	}
	list := g.remote.link.client.Status()
	return list[:min(len(list), shownServices)]
}

// remoteViews are those services as upstreams: the rules of calls to them take them for such.
func remoteViews(g *generation, out map[place]string) []admin.Upstream {
	var list []admin.Upstream
	for _, s := range g.passedTo() {
		lost := g.cluster(g.remote.config.Etcd).lost(s.Service)
		list = append(list, upstreamView(s.Service, "etcd "+g.remote.config.Etcd, &s, lost, out))
	}
	return list
}
