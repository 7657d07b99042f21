package host

import "slices"

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
