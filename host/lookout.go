package host

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/easymicro/easymicro/wire/client"
)

// A lookout is the resolver of a client that has the log tell when a service has no endpoints any more, and when it has
// some again.
type lookout struct {
	client.Resolver
	reports  *reports
	number   int    // of two lookouts for the same, the one with the higher number is in use
	upstream string // empty: the name of each service
	group    string // of the endpoints that are used; empty: all
	resolve  string
	holds    bool // says that the last list is used on after an error; a resolver that logs that itself need not
}

// reports is what the log was told of endpoints. It outlives the clients that edits replace.
type reports struct {
	log *slog.Logger

	mu    sync.Mutex
	made  int
	about map[listed]*report
}

type report struct {
	by    int // the number of the lookout that told last
	used  int // endpoints that its calls go to
	state lookoutState
}

// How it stands with the endpoints of a service.
type lookoutState string

const (
	lookoutFine lookoutState = ""
	lookoutHeld lookoutState = "the endpoints of an upstream cannot be looked up: the last list stays in use"
	lookoutNone lookoutState = "an upstream has no endpoints: all calls fail"
)

func newReports(log *slog.Logger) *reports {
	return &reports{log: log, about: make(map[listed]*report)}
}

// lookout makes one that takes the place of those before it for the same upstream, once it tells something.
func (r *reports) lookout(l lookout) *lookout {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made++
	l.reports, l.number = r, r.made
	return &l
}

// Watch is that of the resolver.
func (l *lookout) Watch(ctx context.Context, service string, update func([]client.Endpoint, error)) error {
	key := listed{upstream: l.upstream, service: service}
	if l.upstream == "" {
		defer l.reports.forget(key, l.number) // any number of services come and go
	}
	return l.Resolver.Watch(ctx, service, func(list []client.Endpoint, err error) {
		update(list, err)
		if ctx.Err() == nil {
			l.reports.tell(key, l, list, err)
		}
	})
}

// used is how many endpoints of a list calls go to.
func (l *lookout) used(list []client.Endpoint) int {
	n := 0
	for _, e := range list {
		if l.group == "" || e.Metadata["group"] == l.group {
			n++
		}
	}
	return n
}

func (l *lookout) whyNone(others int) string {
	if others > 0 {
		return fmt.Sprintf("none of %d found is in group %s", others, l.group)
	}
	return "nobody serves it, as far as " + l.resolve + " tells"
}

// tell logs what is news.
func (r *reports) tell(key listed, l *lookout, list []client.Endpoint, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := r.about[key]
	if told == nil {
		told = new(report)
		r.about[key] = told
	}
	if l.number < told.by {
		return // it finishes its last calls
	}
	if l.number > told.by {
		told.by, told.used = l.number, 0 // it begins without a list
	}
	if err == nil {
		told.used = l.used(list)
	}
	was := told.state
	var why string
	told.state, why = l.state(told.used, len(list), err)
	if was == told.state {
		return
	}
	log := r.log.With("upstream", cmp.Or(key.upstream, key.service), "service", key.service, "resolve", l.resolve)
	switch {
	case told.state != lookoutFine:
		log.Warn(string(told.state), "why", why)
	case was == lookoutHeld:
		log.Info("the endpoints of an upstream are looked up again", "endpoints", told.used)
	default:
		log.Info("an upstream has endpoints again", "endpoints", told.used)
	}
}

func (l *lookout) state(used, found int, err error) (state lookoutState, why string) {
	switch {
	case used == 0 && err != nil:
		return lookoutNone, err.Error()
	case used == 0:
		return lookoutNone, l.whyNone(found)
	case err != nil && l.holds:
		return lookoutHeld, err.Error()
	}
	return lookoutFine, ""
}

// forget drops what was told by a lookout that nobody has followed.
func (r *reports) forget(key listed, number int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if told := r.about[key]; told != nil && told.by == number {
		delete(r.about, key)
	}
}

// retain drops what is about upstreams that are gone.
func (r *reports) retain(upstream func(name string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key := range r.about {
		if key.upstream != "" && !upstream(key.upstream) {
			delete(r.about, key)
		}
	}
}
