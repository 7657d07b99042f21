package wire

import (
	"errors"
	"net"
	"time"
)

// maxLead is the time for which a caller reads although its context can end: it does not notice that meanwhile.
const maxLead = time.Millisecond

var errSilent = errors.New("the peer does not answer heartbeats")

// keepalive is the reader of a Conn. It sends a heartbeat after an interval of silence, and fails after a further timeout of
// silence. Deadlines are only moved once they have passed, so that a busy connection sets none, or a few for limit.
type keepalive struct {
	conn     net.Conn
	interval time.Duration
	timeout  time.Duration
	out      *outbox
	ask      func() // sends a heartbeat

	deadline time.Time // as set on conn
	limited  bool      // Read fails when the deadline has passed
	heardAny bool      // a byte has arrived

	last  time.Time // when the last byte arrived
	asked time.Time // when a heartbeat was sent after that; zero: none
	taken int64     // outbox.taken at that time
	busy  bool      // something was queued at that time, so the heartbeat may wait behind it
}

func (k *keepalive) init() {
	k.last = time.Now()
	if k.interval > 0 {
		_ = k.set(k.last.Add(k.interval)) // when it fails the first Read does
	}
}

func (k *keepalive) set(t time.Time) error {
	err := k.conn.SetReadDeadline(t)
	if err == nil {
		k.deadline = t
	}
	return err
}

// limit is called when no heartbeat is unanswered. It makes Read fail with a timeout within maxLead, or at the deadline if
// that is not zero and sooner. It reports false if it cannot: nc has no deadlines, or it is a TLS connection from which
// nothing has arrived, whose handshake a timeout would break.
func (k *keepalive) limit(deadline time.Time) bool {
	if k.out.fragile && !k.heardAny {
		return false
	}
	now := time.Now()
	k.limited = true
	left := k.deadline.Sub(now)
	switch end := now.Add(maxLead); {
	case !deadline.IsZero() && deadline.Before(end):
		return k.set(deadline) == nil
	case left < maxLead/2 || left > maxLead:
		return k.set(end) == nil
	}
	return true
}

func (k *keepalive) Read(b []byte) (int, error) {
	for {
		n, err := k.conn.Read(b)
		if n > 0 {
			k.heard()
			return n, nil
		}
		if k.limited || !timedOut(err) {
			return n, err
		}
		if err := k.overdue(time.Now()); err != nil {
			return 0, err
		}
	}
}

// heard is called when something has arrived. It replaces a deadline set for the timeout, which would delay the next
// heartbeat.
func (k *keepalive) heard() {
	k.last, k.heardAny = time.Now(), true
	if !k.asked.IsZero() {
		k.asked = time.Time{}
		_ = k.set(k.last.Add(k.interval)) // when it fails the next Read does
	}
}

// overdue is called when a deadline has passed. The timeout counts from the heartbeat, which may be late after a pause of
// the process, and restarts while what was queued before the heartbeat is being written.
func (k *keepalive) overdue(now time.Time) error {
	if k.interval <= 0 {
		return k.set(time.Time{})
	}
	if next := k.last.Add(k.interval); now.Before(next) {
		return k.set(next)
	}
	if k.asked.IsZero() {
		k.asked, k.taken, k.busy = now, k.out.taken.Load(), !k.out.idle()
		k.ask()
	} else if taken := k.out.taken.Load(); taken != k.taken && k.busy {
		k.asked, k.taken, k.busy = now, taken, !k.out.idle()
	}
	next := k.asked.Add(k.timeout)
	if !now.Before(next) {
		return errSilent
	}
	return k.set(next)
}
