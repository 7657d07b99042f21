package outgoing

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/wire/client"
)

// An Upstream is a client for an upstream of the manifest. Generations share it, with its connections, until its spec
// changes; it is closed after its last call.
type Upstream struct {
	route.RefCount // calls
	spec           spec[config.Upstream]
	cluster        *Cluster // where its endpoints are found; nil when that is elsewhere
	client         *client.Client
}

func (u *Upstream) currentSpec() spec[config.Upstream] { return u.spec }

// Service returns the service to call.
func (u *Upstream) Service() string { return u.spec.config.Service }

// Client returns the client.
func (u *Upstream) Client() *client.Client { return u.client }

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
	err := u.client.Shutdown(ctx)
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		log.Warn("upstream not closed cleanly", "upstream", u.spec.config.Name, "error", err)
	}
	_ = u.client.Close()
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
