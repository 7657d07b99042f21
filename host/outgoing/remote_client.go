package outgoing

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/wire/client"
)

// Directory finds the services of other hosts.
type Directory interface {
	client.Resolver
	// WatchServices calls update with the names of all services that have endpoints, as Watch does with endpoints.
	WatchServices(ctx context.Context, update func([]string, error)) error
	// Missing returns the parts of the directory that have not been read yet.
	Missing() []string
}

// RemoteClient calls the services of other hosts that a directory knows. Generations share it until their discovery or
// its TLS changes.
type RemoteClient struct {
	*route.OtherHosts
	spec      spec[*config.ClientTLS]
	directory Directory
	log       *slog.Logger
	release   func() // the directory
	unwatch   context.CancelFunc
	watched   sync.WaitGroup
}

func (r *RemoteClient) currentSpec() spec[*config.ClientTLS] { return r.spec }

func (r *RemoteClient) watch(ctx context.Context, dropped func()) {
	err := r.directory.WatchServices(ctx, func(names []string, err error) {
		if r.Update(names, err) {
			dropped()
		}
	})
	if ctx.Err() == nil {
		r.log.Error("watching the services of other hosts stopped", "etcd", r.Cluster, "error", err)
	}
}

// remoteTimeout bounds how long a client that is out of use may take to close.
const remoteTimeout = 5 * time.Second

// Discard closes the client after its last call.
func (r *RemoteClient) Discard(life context.Context) {
	r.Drain(life)
	closing, cancel := context.WithTimeout(life, remoteTimeout)
	defer cancel()
	r.Close(closing)
}

// Close closes the client, whose last call has ended or is abandoned.
func (r *RemoteClient) Close(ctx context.Context) {
	r.unwatch()
	if err := r.Client.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		r.log.Warn("connections to other hosts not closed cleanly", "etcd", r.Cluster, "error", err)
	}
	_ = r.Client.Close()
	r.watched.Wait()
	r.release()
}
