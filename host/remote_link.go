package host

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/client"
)

// firstList is how long a host that starts waits to hear what services there are.
const firstList = time.Second

// directory is where the services of other hosts are found.
type directory interface {
	client.Resolver
	// WatchServices tells update the names of all services that have endpoints, as Watch tells endpoints.
	WatchServices(ctx context.Context, update func([]string, error)) error
	// Missing returns the parts of it of which nothing was told yet.
	Missing() []string
}

// link is the way to the services of other hosts: what discovery tells of them, and the one client that calls them all.
// It outlives the generations that have the same discovery.
type link struct {
	users
	cluster   string
	directory directory
	client    *client.Client
	labels    remoteLabels
	forget    func() // drops the metrics of methods that are gone
	log       *slog.Logger
	done      func() // with the directory

	found   atomic.Pointer[foundServices]
	told    chan struct{} // closed by the first list or error
	unwatch context.CancelFunc
	watched sync.WaitGroup
}

// foundServices is what discovery told last.
type foundServices struct {
	names []string
	heard bool  // the names are what there was once, at least
	err   error // why nothing newer is known
}

func newLink(cluster string, d directory, c *client.Client, h *Host, done func()) *link {
	l := &link{
		users: newUsers(), cluster: cluster, directory: d, client: c, log: h.log, done: done,
		labels: remoteLabels{metrics: h.metrics, has: make(map[string]bool)}, forget: h.forget, told: make(chan struct{}),
	}
	l.found.Store(new(foundServices))
	var ctx context.Context
	ctx, l.unwatch = context.WithCancel(context.Background())
	l.watched.Go(func() { l.watch(ctx) })
	return l
}

func (l *link) watch(ctx context.Context) {
	var first sync.Once
	err := l.directory.WatchServices(ctx, func(names []string, err error) {
		next, dropped := *l.found.Load(), false
		if next.err = err; err == nil {
			next.names, next.heard = names, true
			dropped = l.labels.keep(names) // before any of the new ones asks for room
		}
		l.found.Store(&next)
		first.Do(func() { close(l.told) })
		if dropped {
			l.forget()
		}
	})
	if ctx.Err() == nil {
		l.log.Error("the services of other hosts are no longer followed", "etcd", l.cluster, "error", err)
	}
}

// await returns when discovery has told something, but does not wait for long.
func (l *link) await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstList)
	defer cancel()
	select {
	case <-l.told:
	case <-ctx.Done():
	}
}

// shut ends the link, whose last call has ended or is abandoned.
func (l *link) shut(ctx context.Context) {
	l.unwatch()
	if err := l.client.Shutdown(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		l.log.Warn("the connections to other hosts were not closed cleanly", "etcd", l.cluster, "error", err)
	}
	_ = l.client.Close()
	l.watched.Wait()
	l.done()
}
