package gateway

import (
	"context"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// holding is what a request holds of the host's budget, in the share of its connection. The zero value, of a request that
// did not come through a Server, holds nothing and is refused nothing.
type holding struct {
	conn   *conn
	call   bool
	bytes  int64
	growth wire.Growth // of bytes
	reply  wire.Reservation // what it will probably need; the zero value for one-way calls
}

// enter takes the place of a call: in the budget, and among mostCalls of the connection.
func (h *holding) enter(mostCalls int) lack {
	if h.conn == nil {
		return lackNothing
	}
	if h.conn.calls.Add(1) > int64(mostCalls) {
		h.conn.calls.Add(-1)
		return lackOfConnection
	}
	if !h.conn.share.TakeCall() && !h.conn.soon(h.conn.share.TakeCall) {
		h.conn.calls.Add(-1)
		return lackOfHost
	}
	h.call = true
	return lackNothing
}

// lack is what there is no room in for a call.
type lack byte

const (
	lackNothing lack = iota
	lackOfConnection
	lackOfHost
)

// begin returns when there is room for the answer of a method, and reports whether there is before ctx or the deadline, if
// any, ends.
func (h *holding) begin(ctx context.Context, deadline time.Time, service, method string, argument int) bool {
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

// handOver gives what is held to a handler that may outlive the request.
func (h *holding) handOver() holding {
	all := *h
	*h = holding{conn: h.conn}
	return all
}

// take takes n bytes for a body, and reports whether they were there, or soon are. The oldest body gets them all the same.
func (h *holding) take(n int) bool {
	if h.conn != nil && !h.growth.Take(int64(n)) && !wire.RetryBriefly(func() bool { return h.growth.Take(int64(n)) }) {
		return false
	}
	h.bytes += int64(n)
	return true
}

// claim takes n bytes for what is made of a body.
func (h *holding) claim(n int) bool {
	if h.conn != nil && !h.conn.share.TakeBytes(int64(n)) && !wire.RetryBriefly(func() bool { return h.conn.share.TakeBytes(int64(n)) }) {
		return false
	}
	h.bytes += int64(n)
	return true
}

// hasRead says that nothing more of the request is to be taken.
func (h *holding) hasRead() {
	if h.conn != nil {
		h.growth.Read()
	}
}

// answer takes the bytes of an answer, which waits for the peer until taken is told of them.
func (h *holding) answer(n int) {
	if h.conn != nil {
		h.conn.waiting.Add(int64(n))
		h.conn.share.Hold(int64(n))
	}
}

// taken gives back bytes of an answer.
func (h *holding) taken(n int) {
	if h.conn != nil {
		h.conn.waiting.Add(-int64(n))
		h.conn.share.Give(int64(n))
	}
}

// leave gives back what is left of the request.
func (h *holding) leave() {
	h.reply.Release()
	if h.conn != nil && h.bytes > 0 {
		h.conn.share.Give(h.bytes)
	}
	if h.call {
		if !h.conn.proven.Load() {
			h.conn.proven.Store(true)
		}
		h.conn.calls.Add(-1)
		h.conn.share.GiveCall()
	}
	h.growth.Done()
	*h = holding{conn: h.conn}
}

var _ wire.Holder = (*conn)(nil)
