package wire

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// responder is the sending side of a server's connection.
type responder struct {
	env      *serverEnv
	out      outbox
	intro    introduction
	onError  func(error)  // called when the connection cannot be written to
	inFlight atomic.Int32 // calls of the connection
	lost     atomic.Bool  // the connection cannot be written to
	closing  atomic.Bool  // it is being closed
}

// answerable reports whether answers may still reach the peer.
func (r *responder) answerable() bool { return !r.lost.Load() && !r.closing.Load() }

// send queues f and writes what is queued.
func (r *responder) send(f *Frame) {
	if r.post(f) {
		r.flush()
	}
}

// post waits for room and queues f. It reports whether the caller has to flush.
func (r *responder) post(f *Frame) (flush bool) {
	r.intro.addTo(f, r.env.host)
	flush, err := r.out.append(f)
	if err != nil {
		r.onError(err)
	}
	r.env.budget.relieveIfFull()
	return flush
}

// postNow queues f unless the outbox is congested. It reports whether the caller has to flush.
func (r *responder) postNow(f *Frame) (flush bool) {
	if r.out.backlog.congested.Load() {
		return false
	}
	flush, _ = r.out.append(f)
	return flush
}

// flush writes what is queued. If more calls are in flight, it lets others queue their answers first.
func (r *responder) flush() {
	if err := r.out.flush(r.inFlight.Load() > 1); err != nil {
		r.onError(err)
	}
}

// flushNow writes what is queued.
func (r *responder) flushNow() {
	if err := r.out.flush(false); err != nil {
		r.onError(err)
	}
}

// refuse answers a request that is not run, unless it is one-way.
func (r *responder) refuse(req *Frame, e *code.Error) {
	if !req.OneWay {
		r.send(refusal(req, e))
	}
}

// refusal returns the response to a request that is not run.
func refusal(req *Frame, e *code.Error) *Frame {
	f := &Frame{Type: Response, Seq: req.Seq, Service: req.Service, Method: req.Method, Codec: req.Codec}
	SetError(f, e)
	return f
}

// Reasons for which a server cuts a connection, besides those of a FrameError. They are metric labels.
const (
	cutFirstByte  = "first_byte_timeout"
	cutBody       = "body_timeout"
	cutSlowReader = "slow_reader"
	cutTruncated  = "truncated"
)

// cutEvery is the minimum time between two log lines for the same reason, so that hostile peers cannot flood the log.
const cutEvery = time.Second

// cutLog logs connections that were cut because of their peers. Metrics count them all.
type cutLog struct {
	log *slog.Logger

	mu   sync.Mutex
	last map[string]loggedCut // by reason, which are few
}

type loggedCut struct {
	at         time.Time
	suppressed int // since then
}

func (l *cutLog) add(peer net.Addr, reason string, err error) {
	suppressed, log := l.count(reason, time.Now())
	if !log {
		return
	}
	const msg = "connection cut"
	l.log.Warn(msg, "peer", peer.String(), "reason", reason, "error", err.Error()) // first: a log sampler keeps it
	if suppressed > 0 {
		l.log.Warn(msg, "reason", reason, "suppressed", suppressed) // of any peers
	}
}

// count reports whether to log, and how many were suppressed before.
func (l *cutLog) count(reason string, now time.Time) (suppressed int, log bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last, ok := l.last[reason]
	if ok && now.Sub(last.at) < cutEvery {
		last.suppressed++
		l.last[reason] = last
		return 0, false
	}
	if l.last == nil {
		l.last = make(map[string]loggedCut)
	}
	l.last[reason] = loggedCut{at: now}
	return last.suppressed, true
}

// cutReason returns the metric label for err; "" if the peer is not at fault.
func cutReason(err error) string {
	var bad *FrameError
	switch {
	case errors.As(err, &bad):
		return bad.Reason
	case errors.Is(err, errFirstByte):
		return cutFirstByte
	case errors.Is(err, errBody):
		return cutBody
	case errors.Is(err, errSlowReader):
		return cutSlowReader
	case errors.Is(err, io.ErrUnexpectedEOF):
		return cutTruncated
	}
	return ""
}

// atEnd reports whether err is the end of input.
func atEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }

// writable reports whether the connection can still be written to after a read error.
func writable(err error) bool {
	var bad *FrameError
	return errors.As(err, &bad) || errors.Is(err, errBody)
}
