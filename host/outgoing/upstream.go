package outgoing

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/route"
)

// An Upstream is a client for an upstream of the manifest. Generations share it, with its connections, until its spec
// changes; it is closed after its last call.
type Upstream struct {
	route.Successor
	spec    spec[config.Upstream]
	cluster *Cluster // where its endpoints are found; nil when that is elsewhere
}

func (u *Upstream) currentSpec() spec[config.Upstream] { return u.spec }

// Lost returns the endpoints of a service that discovery no longer has and that stay in use for a while.
func (u *Upstream) Lost(service string) map[string]bool { return u.cluster.Lost(service) }

// discard closes the upstream after its last call.
func (u *Upstream) discard(life context.Context, log *slog.Logger) {
	u.Drain(life)
	closing, cancel := context.WithTimeout(life, upstreamTimeout)
	defer cancel()
	u.close(closing, log)
}

func (u *Upstream) close(ctx context.Context, log *slog.Logger) {
	err := u.Client.Shutdown(ctx)
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		log.Warn("upstream not closed cleanly", "upstream", u.spec.config.Name, "error", err)
	}
	_ = u.Client.Close()
	if u.cluster != nil {
		u.cluster.Release()
	}
}

// upstreamTimeout bounds how long a discarded upstream waits for requests in flight.
const upstreamTimeout = 30 * time.Second

// Where describes where endpoints are found: "etcd main", "dns billing:8972".
func Where(r *config.Resolve) string {
	switch {
	case r.Etcd != "":
		return "etcd " + r.Etcd
	case r.DNS != "":
		return "dns " + r.DNS
	case r.File != "":
		return "file " + r.File
	}
	return "endpoints"
}
