package host

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/client"
)

// listings are where a client says who serves what it calls. When another client takes its place, they are left to that
// one, until it says so itself: what rules know of endpoints that both use must not be forgotten in between.
type listings struct {
	directory *policies.Directory

	mu     sync.Mutex
	open   map[*listing]bool
	opened int // so far
	left   map[listed]policies.Listing
	expire *time.Timer // ends what is left
}

type listed struct{ upstream, service string }

// leftFor is how long a client has for its first call of what the one before it called.
const leftFor = 10 * time.Minute

// listing is one of a client.
type listing struct {
	of  *listings
	at  listed
	nth int // of the client
	set bool
	policies.Listing
}

// List is part of client.Guard.
func (l *listings) List(upstream, service string) client.Listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := listed{upstream, service}
	l.opened++
	own := &listing{of: l, at: at, nth: l.opened, Listing: l.left[at]}
	delete(l.left, at)
	if own.Listing == nil {
		own.Listing = l.directory.List(upstream, service)
	}
	if l.open == nil {
		l.open = make(map[*listing]bool)
	}
	l.open[own] = true
	return own
}

// Set is part of client.Listing. A client whose place another one has taken is not heard any more.
func (l *listing) Set(addresses []string) {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if l.of.open[l] {
		l.set = true
		l.Listing.Set(addresses)
	}
}

// Close is part of client.Listing.
func (l *listing) Close() {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if l.of.open[l] {
		delete(l.of.open, l)
		l.Listing.Close()
	}
}

// succeed takes over what the client before has said, but where this one has spoken already.
func (l *listings) succeed(before *listings) {
	left := before.leave()
	l.mu.Lock()
	defer l.mu.Unlock()
	for own := range l.open {
		said := left[own.at]
		if said == nil {
			continue
		}
		delete(left, own.at)
		if !own.set { // it has no answer yet
			said, own.Listing = own.Listing, said
		}
		said.Close()
	}
	if len(left) > 0 {
		l.left, l.expire = left, time.AfterFunc(leftFor, l.forsake)
	}
}

// leave gives away all that the client has said, and all that was left to it.
func (l *listings) leave() map[listed]policies.Listing {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop()
	left := l.left
	if left == nil {
		left = make(map[listed]policies.Listing, len(l.open))
	}
	for _, own := range slices.SortedFunc(maps.Keys(l.open), func(a, b *listing) int { return a.nth - b.nth }) {
		earlier := left[own.at]
		switch {
		case earlier != nil && !own.set:
			own.Listing.Close()
			continue
		case earlier != nil:
			earlier.Close()
		}
		left[own.at] = own.Listing
	}
	l.open, l.left = nil, nil
	return left
}

// forsake ends what was left, and was never asked for.
func (l *listings) forsake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stop()
	for _, said := range l.left {
		said.Close()
	}
	l.left = nil
}

func (l *listings) stop() {
	if l.expire != nil {
		l.expire.Stop()
	}
}
