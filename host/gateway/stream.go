package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// stream reads the body of a request and writes its response, within time limits and the host's budget.
type stream struct {
	w        http.ResponseWriter
	r        *http.Request
	limits   *wire.Limits
	holding  holding
	transfer transfer
	arrived  bool // the whole request has arrived before its body is read
}

// limitBody limits the time for reading the body, unless it has arrived.
func (s *stream) limitBody() {
	if s.r.ContentLength == 0 {
		return
	}
	if c := s.holding.conn; c != nil && c.hasArrived() {
		s.arrived = true
		return
	}
	s.readBy(time.Now().Add(s.limits.BodyTimeout))
}

// readBy limits the time for reading the body, also for net/http if the gateway leaves it unread. The limit applies until
// the body is read to its end.
func (s *stream) readBy(t time.Time) {
	if s.arrived {
		return
	}
	_ = http.NewResponseController(s.w).SetReadDeadline(t) // not supported by httptest.ResponseRecorder
}

var (
	errTooLong = errors.New("body too long") // of unknown length, and over its limit
	errNoRoom  = errors.New("no room for the body")
	errStalled = errors.New("the body made no progress while memory was short")
)

// firstRead is how much memory a body gets before its first byte.
const firstRead = 4 << 10

// readAll reads the whole body into buf. Memory is committed as bytes arrive.
func (s *stream) readAll(buf []byte, limit int) ([]byte, error) {
	if s.r.ContentLength == 0 {
		return buf, nil
	}
	first := firstRead
	if n := s.r.ContentLength; n > 0 && n < firstRead {
		first = int(n) + 1 // one more, to see the end without growing
	}
	if !s.holding.take(first) {
		return nil, errNoRoom
	}
	buf = slices.Grow(buf, first)
	n, err := s.r.Body.Read(buf[:cap(buf)])
	if buf = buf[:n]; err == nil {
		buf, err = s.readOn(buf, limit)
	}
	s.holding.hasRead()
	switch {
	case len(buf) > limit:
		return nil, errTooLong
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	s.readBy(time.Time{})
	return buf, nil
}

// readOn reads the rest of a body whose first bytes are in buf. Its error is io.EOF at the end.
func (s *stream) readOn(buf []byte, limit int) (_ []byte, err error) {
	t := &s.transfer
	if c := s.holding.conn; c != nil {
		t.conn, t.w, t.answer = c, s.w, false
		c.transfers.begin(t)
		defer func() {
			if c.transfers.leave(t) && errors.Is(err, os.ErrDeadlineExceeded) {
				err = errStalled
			}
		}()
	}
	for err == nil && len(buf) <= limit {
		if len(buf) == cap(buf) {
			if !s.holding.take(len(buf)) {
				return buf, errNoRoom
			}
			buf = append(make([]byte, 0, 2*len(buf)), buf...) // exactly what was taken
		}
		var n int
		if n, err = s.r.Body.Read(buf[len(buf):cap(buf)]); n > 0 {
			buf = buf[:len(buf)+n]
			t.at.Store(instant(time.Now()))
		}
	}
	return buf, err
}

// A response is written in steps, each within the write timeout. Over HTTP/1 the timeout starts again with every byte that
// the caller takes, see conn.Write. Over HTTP/2 the responses of a connection share it: a step has far more time as long as
// the peer takes bytes of any of them, and the Server ends responses that wait for a silent peer.
const (
	writeStep       = 256 << 10
	writeStepHTTP2  = 16 << 10
	writeSlackHTTP2 = 10 // times the timeout
)

// write writes a body in steps, so that a caller on a slow line can receive a long one. Errors of the connection are not
// returned: the caller is gone.
func (s *stream) write(body []byte) {
	if len(body) <= maxUnsized && s.r.ProtoMajor == 1 { // net/http buffers it
		s.writeBy(s.limits.WriteTimeout)
		_, _ = s.w.Write(body)
		return
	}
	held := cap(body) // all of it, until the last byte is taken
	s.holding.answer(held)
	defer func() { s.holding.taken(held) }()
	size, timeout := writeStep, s.limits.WriteTimeout
	if s.r.ProtoMajor == 2 {
		size, timeout = writeStepHTTP2, writeSlackHTTP2*timeout
		if c := s.holding.conn; c != nil {
			s.transfer.conn, s.transfer.w, s.transfer.answer = c, s.w, true
			c.transfers.begin(&s.transfer)
			defer c.transfers.leave(&s.transfer)
		}
	}
	for {
		s.writeBy(timeout)
		step := body[:min(len(body), size)]
		if _, err := s.w.Write(step); err != nil {
			return
		}
		if body = body[len(step):]; len(body) == 0 {
			return
		}
	}
}

// writeBy cuts off a caller that does not read its response.
func (s *stream) writeBy(timeout time.Duration) {
	_ = http.NewResponseController(s.w).SetWriteDeadline(time.Now().Add(timeout))
}

// holding is a request's part of the host's budget, in the share of its connection. The zero value, for a request that did
// not come through a Server, holds nothing and is never refused.
type holding struct {
	conn   *conn
	call   bool
	bytes  int64
	growth wire.Growth      // of bytes
	reply  wire.Reservation // the estimate for its response; zero for one-way calls
}

// shortage is the limit that leaves no room for a call.
type shortage byte

const (
	noShortage shortage = iota
	shortOnConnection
	shortOnHost
)

// enter counts a call in the budget, and among the connection's calls.
func (h *holding) enter(maxCalls int) shortage {
	if h.conn == nil {
		return noShortage
	}
	if h.conn.calls.Add(1) > int64(maxCalls) {
		h.conn.calls.Add(-1)
		return shortOnConnection
	}
	if !h.conn.share.AcquireCall() && !h.conn.retry(h.conn.share.AcquireCall) {
		h.conn.calls.Add(-1)
		return shortOnHost
	}
	h.call = true
	return noShortage
}

// awaitRoom waits for room for the response of a method. It reports false if ctx ends or the deadline, if any, passes first.
func (h *holding) awaitRoom(ctx context.Context, deadline time.Time, service, method string, argument int) bool {
	if h.conn == nil {
		return true
	}
	h.reply = wire.NewReservation(h.conn.share, service, method, argument)
	if h.reply.Try() {
		return true
	}
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline)
		defer cancel()
	}
	return h.reply.Wait(ctx)
}

// handOver moves what is held to a handler that may outlive the request.
func (h *holding) handOver() holding {
	all := *h
	*h = holding{conn: h.conn}
	return all
}

// take reserves n bytes for a body, and reports whether they were free within a moment. The oldest body always gets them.
func (h *holding) take(n int) bool {
	if h.conn != nil && !h.growth.Acquire(int64(n)) && !wire.RetryBriefly(func() bool { return h.growth.Acquire(int64(n)) }) {
		return false
	}
	h.bytes += int64(n)
	return true
}

// claim reserves n bytes for what is made from a body.
func (h *holding) claim(n int) bool {
	if h.conn != nil && !h.conn.share.AcquireBytes(int64(n)) && !wire.RetryBriefly(func() bool { return h.conn.share.AcquireBytes(int64(n)) }) {
		return false
	}
	h.bytes += int64(n)
	return true
}

// hasRead ends the growth of the body.
func (h *holding) hasRead() {
	if h.conn != nil {
		h.growth.Read()
	}
}

// answer charges n bytes for a response, until taken is called for them.
func (h *holding) answer(n int) {
	if h.conn != nil {
		h.conn.waiting.Add(int64(n))
		h.conn.share.AddBytes(int64(n))
	}
}

// taken releases bytes of a response.
func (h *holding) taken(n int) {
	if h.conn != nil {
		h.conn.waiting.Add(-int64(n))
		h.conn.share.ReleaseBytes(int64(n))
	}
}

// leave releases all that the request still holds.
func (h *holding) leave() {
	h.reply.Release()
	if h.conn != nil && h.bytes > 0 {
		h.conn.share.ReleaseBytes(h.bytes)
	}
	if h.call {
		if !h.conn.hasAnswered.Load() {
			h.conn.hasAnswered.Store(true)
		}
		h.conn.calls.Add(-1)
		h.conn.share.ReleaseCall()
	}
	h.growth.Done()
	*h = holding{conn: h.conn}
}
