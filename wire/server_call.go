package wire

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

const (
	minCompress = 1 << 10 // shorter payloads are not compressed
	minHold     = 1 << 10 // shorter answers are not charged while they wait for room in the outbox
)

// task is a request in a server, from reading to answering it. Tasks and their frames are pooled.
type task struct {
	req, res Frame
	plain    []byte // memory for the decompressed request or the compressed response
	arrived  time.Time
	used     Compression // original compression of the request
	held     int64       // bytes charged to the budget
	ticket   uint64      // in the budget's growthQueue, if its bytes exceed the limit; else 0
	counted  bool        // it counts as a call in the budget
	call     serverCall
	begun    bool // call is in use

	// The connection may use these while the handler has the frames.
	answer     Reservation
	seq        uint64
	oneWay     bool
	parked     bool
	inline     bool  // the reader runs it
	flushLater bool  // the reader flushes the answer, when it has read more
	cancelled  bool  // before it began
	refused    bool  // the budget has no room for its answer
	prev, next *task // in flight
}

var tasks = sync.Pool{New: func() any { return new(task) }}

// size returns the memory of t that its peer determines.
func (t *task) size() int64 { return int64(cap(t.req.Payload) + t.req.Metadata.size()) }

// shrink frees memory kept from longer requests, and returns the new size.
func (t *task) shrink() int64 {
	if cap(t.req.Payload) > 2*len(t.req.Payload) {
		t.req.Payload = append([]byte(nil), t.req.Payload...)
	}
	return t.size()
}

// charge takes a call and the size of t from the budget, and reports whether it could.
func (t *task) charge(s *Share) bool {
	if !s.AcquireCall() {
		return false
	}
	t.counted = true
	if s.budget.Short() {
		t.shrink() // pooled memory may be larger than t needs
	}
	more := t.size() - t.held
	if more > 0 && !s.AcquireBytes(more) {
		if more = t.shrink() - t.held; more > 0 && !s.AcquireBytes(more) {
			t.uncharge(s)
			return false
		}
	}
	t.held += max(more, 0)
	return true
}

// uncharge returns the call to the budget. The bytes stay charged until t is released.
func (t *task) uncharge(s *Share) {
	s.releaseUnrunCall()
	t.counted = false
}

// abandoned reports whether the caller no longer waits for the answer.
func (t *task) abandoned() bool {
	deadline, ok := CallerDeadline(t.arrived, t.req.Metadata)
	return t.cancelled || ok && !time.Now().Before(deadline)
}

// shrinkAnswer frees the memory of an answer that has been queued, unless it is small enough to be reused.
func (t *task) shrinkAnswer() {
	if cap(t.res.Payload) > keepPayload {
		t.res.Payload = nil
	}
	if cap(t.plain) > keepPayload {
		t.plain = nil
	}
}

// compress compresses the reply if the peer accepts it and the reply gets shorter.
func (t *task) compress() {
	if len(t.res.Payload) < minCompress {
		return
	}
	with := t.used
	if with == Zstd {
		with = NoCompression
	}
	if accepts(t.req.Metadata.Get(MetaAcceptCompression), Zstd) {
		with = Zstd
	}
	if with == NoCompression {
		return
	}
	small, err := AppendCompressed(t.plain[:0], with, t.res.Payload)
	if err != nil || len(small) >= len(t.res.Payload) {
		return
	}
	t.plain, t.res.Payload = t.res.Payload, small
	t.res.Compression = with
}

// release returns to the budget what t holds, and t to its pool.
func (t *task) release(s *Share) {
	t.answer.Release()
	if t.held > 0 {
		s.ReleaseBytes(t.held)
	}
	if t.ticket != 0 {
		s.budget.growths.leave(t.ticket)
	}
	switch {
	case t.counted && t.begun && !t.refused:
		s.ReleaseCall()
	case t.counted:
		s.releaseUnrunCall()
	}
	t.recycle()
}

// recycle returns t to its pool, without large buffers.
func (t *task) recycle() {
	t.req.Reset()
	t.res.Reset()
	plain := t.plain[:0]
	if cap(plain) > keepPayload {
		plain = nil
	}
	t.call.reset()
	t.call.out, t.call.service, t.call.method = nil, "", ""
	t.plain, t.used, t.held, t.ticket, t.counted, t.begun = plain, 0, 0, 0, false, false
	t.answer, t.parked, t.inline, t.flushLater, t.cancelled, t.refused = Reservation{}, false, false, false, false, false
	tasks.Put(t)
}

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
	if !share.AcquireBytes(n) && !RetryBriefly(func() bool { return share.AcquireBytes(n) }) {
		return env.budget.Refuse(env.host)
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

// settle ends the call, and queues the answer unless it has been answered early or the answer cannot reach the peer. It
// reports whether the caller has to flush.
func (c *serverCall) settle(t *task, err error) (flush bool) {
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
	t.answer.Learn(len(res.Payload), err)
	t.compress()
	t.answer.Release()
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
