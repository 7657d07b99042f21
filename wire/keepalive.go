package wire

import (
	"errors"
	"net"
	"time"
)

var errSilent = errors.New("the peer does not answer heartbeats")

// keepalive reads a calling connection. When nothing arrives for the interval it sends a heartbeat, and when nothing arrives
// for the timeout after that it fails. Deadlines are checked when they have passed, so that a busy connection sets none.
type keepalive struct {
	conn     net.Conn
	interval time.Duration
	timeout  time.Duration
	out      *outbox
	ask      func() // sends a heartbeat

	last  time.Time // when the last byte arrived
	asked time.Time // when a heartbeat was sent after that; zero if none was
	taken int64     // how much the peer had taken by then
	busy  bool      // something was queued then, so that the heartbeat may be behind it
}

func (k *keepalive) init() {
	k.last = time.Now()
	if k.interval > 0 {
		_ = k.conn.SetReadDeadline(k.last.Add(k.interval)) // when it fails the first Read does
	}
}

func (k *keepalive) Read(b []byte) (int, error) {
	for {
		n, err := k.conn.Read(b)
		if n > 0 {
			k.heard()
			return n, nil
		}
		if !timedOut(err) {
			return n, err
		}
		if err := k.overdue(time.Now()); err != nil {
			return 0, err
		}
	}
}

// heard is called when something has arrived. A deadline set by the timeout is replaced, else the next heartbeat would be
// late by it.
func (k *keepalive) heard() {
	k.last = time.Now()
	if !k.asked.IsZero() {
		k.asked = time.Time{}
		_ = k.conn.SetReadDeadline(k.last.Add(k.interval)) // when it fails the next Read does
	}
}

// overdue is called when a deadline has passed. The timeout counts from the heartbeat, which may have been sent late, as
// after a pause of the process. It restarts when the peer has taken something of what was queued before the heartbeat.
func (k *keepalive) overdue(now time.Time) error {
	if next := k.last.Add(k.interval); now.Before(next) {
		return k.conn.SetReadDeadline(next)
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
	return k.conn.SetReadDeadline(next)
}
