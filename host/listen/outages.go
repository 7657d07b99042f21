package listen

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

// Reasons why connections are not accepted, as in metrics.
const (
	acceptDescriptors = "no_descriptors"
	acceptFailed      = "accept_failed"
	acceptTooMany     = "too_many_connections"
)

const (
	// 1/keptShare of the descriptors of the process, but at most maxKept, are reserved for operators, probes, files, etcd and
	// upstreams.
	maxKept   = 256
	keptShare = 8
	// An outage is over once the listener has accepted for outageOver without an error.
	outageOver = 10 * time.Second
)

// descriptorsKept returns how many descriptors of the process are reserved.
func descriptorsKept(descriptors int) int { return min(maxKept, descriptors/keptShare) }

// outages tracks which listeners do not accept connections, and why. Each outage is logged once when it begins and once
// when it ends.
type outages struct {
	log   *slog.Logger
	count func(listener, reason string)

	mu     sync.Mutex
	open   map[outageKey]*outage
	closed bool
}

type outageKey struct{ listener, reason string }

type outage struct {
	since, last time.Time
	count       uint64
	timer       *time.Timer
}

func newOutages(log *slog.Logger, count func(listener, reason string)) *outages {
	return &outages{log: log, count: count, open: make(map[outageKey]*outage)}
}

// admits reports whether the process has enough descriptors left to keep a connection of a caller.
func (o *outages) admits(listener string, conn net.Conn) bool {
	descriptors := machine.Descriptors()
	if descriptors == 0 || machine.Descriptor(conn) < descriptors-descriptorsKept(descriptors) {
		return true
	}
	o.note(listener, acceptDescriptors, nil)
	return false
}

// failed counts an error of Accept.
func (o *outages) failed(listener string, err error) {
	switch {
	case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
	case machine.OutOfDescriptors(err):
		o.note(listener, acceptDescriptors, err)
	default:
		o.note(listener, acceptFailed, err)
	}
}

// note counts a connection that was not accepted, or was closed for a new one (acceptTooMany).
func (o *outages) note(listener, reason string, err error) {
	o.count(listener, reason)
	if o.noted(outageKey{listener, reason}, time.Now()) {
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
	message := "not accepting connections"
	if reason == acceptTooMany {
		message = "closing connections to accept new ones"
		attrs = append(attrs, "advice", "find out which clients open so many, and restrict access to this address")
	}
	o.log.Warn(message, attrs...)
}

// noted reports whether the outage had begun before.
func (o *outages) noted(k outageKey, now time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	t, begun := o.open[k]
	if !begun {
		t = &outage{since: now}
		o.open[k] = t
		if !o.closed {
			t.timer = time.AfterFunc(outageOver, func() { o.end(k) })
		}
	}
	t.last = now
	t.count++
	return begun
}

// end ends an outage that has not been seen for outageOver.
func (o *outages) end(k outageKey) {
	o.mu.Lock()
	t := o.open[k]
	if o.closed || t == nil {
		o.mu.Unlock()
		return
	}
	if left := outageOver - time.Since(t.last); left > 0 {
		t.timer.Reset(left)
		o.mu.Unlock()
		return
	}
	delete(o.open, k)
	o.mu.Unlock()
	message, counted := "accepting connections again", "not_accepted"
	if k.reason == acceptTooMany {
		message, counted = "no longer closing connections to accept new ones", "closed"
	}
	o.log.Info(message, "listener", k.listener, "reason", k.reason, counted, t.count,
		"lasted", t.last.Sub(t.since).Round(time.Millisecond))
}

// list returns the outages by listener.
func (o *outages) list() []admin.AcceptTrouble {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := []admin.AcceptTrouble{}
	for k, t := range o.open {
		list = append(list, admin.AcceptTrouble{Listener: k.listener, Reason: k.reason, Since: t.since, Count: t.count})
	}
	slices.SortFunc(list, func(x, y admin.AcceptTrouble) int {
		return strings.Compare(x.Listener+" "+x.Reason, y.Listener+" "+y.Reason)
	})
	return list
}

// close stops the timers.
func (o *outages) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	for _, t := range o.open {
		t.timer.Stop()
	}
}
