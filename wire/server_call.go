package wire

import (
	"context"
	"runtime/debug"

	"github.com/easymicro/easymicro/wire/code"
)

// minHold is the length below which answers are not charged while they wait for room in the outbox.
const minHold = 1 << 10

// serverCall is the Call of a task, with what an early answer needs while the handler has the frames.
type serverCall struct {
	Call
	out             *responder
	seq             uint64
	service, method string
	codec           Codec
	oneWay          bool
}

// begin prepares c for t.
func (c *serverCall) begin(ctx context.Context, from *origin, out *responder, t *task) {
	c.from, c.arrived, c.values, c.young, c.answerer = from, t.arrived, ctx, true, c
	c.out, c.seq, c.service, c.method, c.codec, c.oneWay = out, t.req.Seq, t.req.Service, t.req.Method, t.req.Codec, t.oneWay
}

// handle calls the handler, unless the call is refused.
func (c *serverCall) handle(t *task) error {
	env := c.out.env
	if t.cancelled {
		return code.Refuse(code.Cancelled, code.ReasonCancelled, "the caller cancelled the call", "", env.host, 0)
	}
	if t.refused {
		return env.budget.Refuse(env.host)
	}
	if t.req.Compression != NoCompression {
		if err := c.decompress(t); err != nil {
			return err
		}
	}
	t.res.Codec = t.req.Codec
	return env.handler.Handle(&c.Call, &t.req, &t.res)
}

// decompress decompresses the request of t.
func (c *serverCall) decompress(t *task) error {
	env, share, limit := c.out.env, c.from.share, c.from.maxDecoded
	used, packed := t.req.Compression, t.req.Payload
	n := int64(DecompressedSize(used, packed, limit))
	if !share.AcquireBytes(n) {
		t.returnSpare(share)
		if !share.AcquireBytes(n) && !RetryBriefly(func() bool { return share.AcquireBytes(n) }) {
			return env.budget.Refuse(env.host)
		}
	}
	t.held += n
	plain, err := Decompress(t.plain[:0], used, packed, limit)
	if err != nil {
		env.observer.WireError(code.From(err).Reason)
		return err
	}
	if spare := n - int64(cap(plain)); spare > 0 { // n is an upper bound
		share.ReleaseBytes(spare)
		t.held -= spare
	}
	t.plain, t.req.Payload = packed, plain
	t.used, t.req.Compression = used, NoCompression
	return nil
}

// crashed returns the error of a handler that panicked with value, or that ended its goroutine if value is nil.
func (c *serverCall) crashed(t *task, value any) error {
	what := "the handler ended its goroutine"
	if value != nil {
		what = "panic: " + code.PanicText(value)
	}
	t.res.Payload = t.res.Payload[:0]
	c.out.env.log.Error("handler crashed", "service", c.service, "method", c.method, "error", what,
		"stack", string(debug.Stack()))
	return code.Refuse(code.Internal, code.ReasonPanic, "the handler crashed", "", "", 0)
}

// complete ends the call, and queues the answer unless it has been answered early or the answer cannot reach the peer. It
// reports whether the caller has to flush.
func (c *serverCall) complete(t *task, err error) (flush bool) {
	switch unanswered := c.finish(); {
	case !unanswered:
		c.awaitExpiry()
	case !c.oneWay && c.out.answerable():
		return c.answer(t, err)
	}
	return false
}

// answer queues the response. With an error it has the reply, too, as in rpcx.
func (c *serverCall) answer(t *task, err error) (flush bool) {
	res, share := &t.res, c.from.share
	res.Type, res.Seq, res.Service, res.Method = Response, c.seq, c.service, c.method
	res.Heartbeat, res.OneWay, res.Compression, res.Status = false, false, NoCompression, StatusNormal
	res.Codec = c.codec
	if len(res.Payload) > maxPayload {
		res.Payload = nil
		if err == nil {
			err = code.Refuse(code.Internal, code.ReasonBadReply, "the reply does not fit into a frame", "", "", 0)
		}
	}
	if err != nil {
		reply := res.Payload
		SetError(res, code.From(err))
		res.Payload = reply
	}
	t.reserved.Learn(len(res.Payload), err)
	t.compress()
	t.reserved.Release()
	n := int64(len(res.Payload))
	if n > minHold {
		share.AddBytes(n) // it may wait for room in the outbox
	}
	flush = c.out.post(res)
	if n > minHold {
		t.shrinkAnswer()
		share.ReleaseBytes(n)
	}
	return flush
}

// answerExpired sends the error of a call whose deadline has passed.
func (c *serverCall) answerExpired(e *code.Error) {
	if c.oneWay {
		return
	}
	f := Frame{Type: Response, Seq: c.seq, Service: c.service, Method: c.method, Codec: c.codec}
	SetError(&f, e)
	flush := c.out.post(&f)
	// Before the write, since a peer that does not read must not delay the end of the handler's context.
	c.cancel(context.DeadlineExceeded)
	if flush {
		c.out.flush()
	}
}
