package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/host"
)

// remoteLine tells which services of other hosts the gateway leads to; it is empty when it leads to none at all.
func (s *screen) remoteLine(h *host.Host) string {
	const shown = 8
	r := h.Remote()
	if r == nil {
		return ""
	}
	at := s.clusterURLs(r.Etcd)
	switch {
	case r.Err != nil:
		return fmt.Sprintf("routes to what etcd at %s knows, which does not answer yet", at)
	case len(r.Services) == 0:
		return fmt.Sprintf("routes to what etcd at %s knows: no service yet", at)
	}
	names := slices.Clone(r.Services)
	if more := len(names) - shown; more > 0 {
		names = append(names[:shown], fmt.Sprintf("%d more", more))
	}
	return fmt.Sprintf("routes to %s (etcd %s)", strings.Join(names, ", "), at)
}

func (s *screen) clusterURLs(name string) string {
	if d := s.set.Manifest.Discovery; d != nil {
		for i := range d.Etcd {
			if d.Etcd[i].Name == name {
				return strings.Join(d.Etcd[i].Endpoints, ", ")
			}
		}
	}
	return name
}

// tryRemote is a call of another host's service. Its methods are not known here.
func (s *screen) tryRemote(h *host.Host) string {
	r := h.Remote()
	at := h.HTTPAddress()
	if r == nil || at == "" {
		return ""
	}
	service := "SERVICE"
	if len(r.Services) > 0 {
		service = r.Services[0]
	}
	return fmt.Sprintf("curl -d '{}' http://%s/%s/METHOD", at, service)
}
