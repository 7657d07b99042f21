package gateway

import (
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// holding is what a request holds of the host's budget, in the share of its connection. The zero value, of a request that
// did not come through a Server, holds nothing and is refused nothing.
type holding struct {
	conn  *conn
	call  bool
	bytes int64
}

// enter takes the place of a call, and reports whether there was one: in the budget, and among mostCalls of the connection.
func (h *holding) enter(mostCalls int) bool {
	if h.conn == nil {
		return true
	}
	if calls, _ := h.conn.share.Held(); calls >= int64(mostCalls) {
		return false
	}
	h.call = h.conn.share.TakeCall()
	return h.call
}

// handOver gives what is held to a handler that may outlive the request.
func (h *holding) handOver() holding {
	all := *h
	*h = holding{conn: h.conn}
	return all
}

// take takes n bytes of a request, and reports whether they were there.
func (h *holding) take(n int) bool {
	if h.conn == nil {
		return true
	}
	if !h.conn.share.TakeBytes(int64(n)) {
		return false
	}
	h.bytes += int64(n)
	return true
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
	if h.bytes > 0 {
		h.conn.share.Give(h.bytes)
	}
	if h.call {
		h.conn.share.GiveCall()
	}
	*h = holding{}
}

// overloaded refuses a request for the host's budget.
func (x *exchange) overloaded() *code.Error {
	return x.holding.conn.share.Budget().Refuse(x.g.host)
}

var _ wire.Holder = (*conn)(nil)
