package host

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/machine"
)

// The reasons for which connections are not accepted. They are labels of a metric.
const (
	acceptDescriptors = "no_descriptors"
	acceptFailed      = "accept_failed"
	acceptTooMany     = "too_many_connections"
)

const (
	// mostKept is how many descriptors are kept back from callers at most, for operators, kubelets, files, etcd and upstreams.
	// It is one in keptShare where there are few.
	mostKept  = 256
	keptShare = 8
	// outageOver is how long a listener has to accept without an error for its outage to be over.
	outageOver = 10 * time.Second
)

// descriptorsKept is how many of the descriptors of the process are not for connections of callers.
func descriptorsKept(descriptors int) int { return min(mostKept, descriptors/keptShare) }

// acceptances knows which listeners of a host do not accept connections, and why. Each such state is one line of the log
// when it begins and one when it ends.
type acceptances struct {
	log   *slog.Logger
	count func(listener, reason string)

	mu      sync.Mutex
	outages map[outageKey]*outage
	closed  bool
}

type outageKey struct{ listener, reason string }

type outage struct {
	since, last time.Time
	count       uint64
	timer       *time.Timer
}

func newAcceptances(log *slog.Logger, count func(listener, reason string)) *acceptances {
	return &acceptances{log: log, count: count, outages: make(map[outageKey]*outage)}
}

// room reports whether the process has descriptors enough for a connection of a caller.
func (a *acceptances) room(listener string, conn net.Conn) bool {
	descriptors := machine.Descriptors()
	if descriptors == 0 || machine.Descriptor(conn) < descriptors-descriptorsKept(descriptors) {
		return true
	}
	a.note(listener, acceptDescriptors, nil)
	return false
}

// failed notes an error of Accept.
func (a *acceptances) failed(listener string, err error) {
	switch {
	case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
	case machine.OutOfDescriptors(err):
		a.note(listener, acceptDescriptors, err)
	default:
		a.note(listener, acceptFailed, err)
	}
}

// note counts a connection that was not accepted, or that was closed for a new one (acceptTooMany).
func (a *acceptances) note(listener, reason string, err error) {
	a.count(listener, reason)
	if a.noted(outageKey{listener, reason}, time.Now()) {
		return
	}
	attrs := []any{"listener", listener, "reason", reason}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	if reason == acceptDescriptors {
		descriptors := machine.Descriptors()
		attrs = append(attrs, "descriptors", descriptors, "kept_back", descriptorsKept(descriptors),
			"advice", "raise the limit of open files (ulimit -n, LimitNOFILE) or lower limits.maxConnections")
	}
	message := "connections are not accepted"
	if reason == acceptTooMany {
		message = "open connections are closed for new ones"
		attrs = append(attrs, "advice", "find out who opens so many, and keep strangers from this address")
	}
	a.log.Warn(message, attrs...)
}

// noted reports whether the outage had begun before.
func (a *acceptances) noted(k outageKey, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, begun := a.outages[k]
	if !begun {
		t = &outage{since: now}
		a.outages[k] = t
		if !a.closed {
			t.timer = time.AfterFunc(outageOver, func() { a.end(k) })
		}
	}
	t.last = now
	t.count++
	return begun
}

// end ends an outage of which nothing was seen for some time.
func (a *acceptances) end(k outageKey) {
	a.mu.Lock()
	t := a.outages[k]
	if a.closed || t == nil {
		a.mu.Unlock()
		return
	}
	if left := outageOver - time.Since(t.last); left > 0 {
		t.timer.Reset(left)
		a.mu.Unlock()
		return
	}
	delete(a.outages, k)
	a.mu.Unlock()
	message, counted := "connections are accepted again", "not_accepted"
	if k.reason == acceptTooMany {
		message, counted = "open connections are no longer closed for new ones", "closed"
	}
	a.log.Info(message, "listener", k.listener, "reason", k.reason, counted, t.count,
		"lasted", t.last.Sub(t.since).Round(time.Millisecond))
}

// views are the outages there are, by listener.
func (a *acceptances) views() []admin.AcceptTrouble {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []admin.AcceptTrouble{}
	for k, t := range a.outages {
		list = append(list, admin.AcceptTrouble{Listener: k.listener, Reason: k.reason, Since: t.since, Count: t.count})
	}
	slices.SortFunc(list, func(x, y admin.AcceptTrouble) int {
		return strings.Compare(x.Listener+" "+x.Reason, y.Listener+" "+y.Reason)
	})
	return list
}

// close ends the timers.
func (a *acceptances) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for _, t := range a.outages {
		t.timer.Stop()
	}
}
