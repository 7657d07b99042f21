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
	minHold     = 1 << 10 // shorter answers are not counted while they wait for room in the outbox
)

// task is a request on its way through a server: read, queued, run, answered. Tasks and their frames are used again.
type task struct {
	req, res Frame
	plain    []byte // memory for a decompressed request, or a compressed response
	arrived  time.Time
	used     Compression // of the request as it was sent
	held     int64       // bytes of the budget
	ticket   uint64      // in the budget's growthQueue, when bytes beyond the limit were taken; else 0
	counted  bool        // it holds the place of a call in the budget
	call     *serverCall // nil until it runs

	// What the connection may look at while the handler has the frames.
	answer     Reservation
	seq        uint64
	oneWay     bool
	parked     bool
	cancelled  bool  // before it ran
	refused    bool  // there is no room for its answer
	prev, next *task // in flight on the connection
}

var tasks = sync.Pool{New: func() any { return new(task) }}

// size returns the memory that t holds, as far as its peer can choose that.
func (t *task) size() int64 { return int64(cap(t.req.Payload) + t.req.Metadata.size()) }

// shrink frees memory that was kept for longer requests, and returns what t holds then.
func (t *task) shrink() int64 {
	if cap(t.req.Payload) > 2*len(t.req.Payload) {
		t.req.Payload = append([]byte(nil), t.req.Payload...)
	}
	return t.size()
}

// charge takes from the budget what t holds, and reports whether there was room.
func (t *task) charge(s *Share) bool {
	if !s.TakeCall() {
		return false
	}
	t.counted = true
	if s.budget.Short() {
		t.shrink() // its memory may come from a longer request of another connection
	}
	more := t.size() - t.held
	if more > 0 && !s.TakeBytes(more) {
		if more = t.shrink() - t.held; more > 0 && !s.TakeBytes(more) {
			t.uncharge(s)
			return false
		}
	}
	t.held += max(more, 0)
	return true
}

// uncharge returns the place of a call. The bytes stay charged until t is released.
func (t *task) uncharge(s *Share) {
	s.giveUnrunCall()
	t.counted = false
}

// pointless reports whether the caller has stopped waiting for the answer.
func (t *task) pointless() bool {
	deadline, ok := CallerDeadline(t.arrived, t.req.Metadata)
	return t.cancelled || ok && !time.Now().Before(deadline)
}

// shrinkAnswer frees the memory of an answer that has been queued, unless it is small enough to be used again.
func (t *task) shrinkAnswer() {
	if cap(t.res.Payload) > keepPayload {
		t.res.Payload = nil
	}
	if cap(t.plain) > keepPayload {
		t.plain = nil
	}
}

// compress compresses the reply if the peer accepts that and it makes the reply shorter.
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

// release returns what t holds to the budget, and t to its pool.
func (t *task) release(s *Share) {
	t.answer.Release()
	if t.held > 0 {
		s.Give(t.held)
	}
	if t.ticket != 0 {
		s.budget.growths.leave(t.ticket)
	}
	switch {
	case t.counted && t.call != nil && !t.refused:
		s.GiveCall()
	case t.counted:
		s.giveUnrunCall()
	}
	t.recycle()
}

// recycle returns t to its pool, without large memory.
func (t *task) recycle() {
	t.req.Reset()
	t.res.Reset()
	plain := t.plain[:0]
	if cap(plain) > keepPayload {
		plain = nil
	}
	*t = task{req: t.req, res: t.res, plain: plain}
	tasks.Put(t)
}

// serverCall is the context of a call that a worker runs, with all that an answer needs while the handler has the frames.
type serverCall struct {
	Call
	out             *responder
	seq             uint64
	service, method string
	codec           Codec
	oneWay          bool
}

func newServerCall(ctx context.Context, from *origin, out *responder, t *task, timer *callTimer) *serverCall {
	call := &serverCall{
		Call:    Call{from: from, arrived: t.arrived, values: ctx, timer: timer},
		out:     out,
		seq:     t.seq,
		service: t.req.Service,
		method:  t.req.Method,
		codec:   t.req.Codec,
		oneWay:  t.oneWay,
	}
	call.answerer = call
	return call
}

// handle runs the handler.
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
	if !share.TakeBytes(n) && !RetryBriefly(func() bool { return share.TakeBytes(n) }) {
		return env.budget.Refuse(env.host)
	}
	t.held += n
	plain, err := Decompress(t.plain[:0], used, packed, limit)
	if err != nil {
		env.observer.WireError(code.From(err).Reason)
		return err
	}
	if spare := n - int64(cap(plain)); spare > 0 { // blocks of zstd rarely hold what they could
		share.Give(spare)
		t.held -= spare
	}
	t.plain, t.req.Payload = packed, plain
	t.used, t.req.Compression = used, NoCompression
	return nil
}

// crashed returns the error of a handler that panicked, or ended its goroutine, for which recover returns nil.
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

// settle ends the call and answers it, unless it has been answered early or the answer cannot reach the peer.
func (c *serverCall) settle(t *task, err error) {
	switch unanswered := c.finish(); {
	case !unanswered:
		c.awaitExpiry()
	case !c.oneWay && c.out.answerable():
		c.answer(t, err)
	}
}

// answer sends the response. A reply beside an error is sent as well, as rpcx does.
func (c *serverCall) answer(t *task, err error) {
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
		share.Hold(n) // it may have to wait for room in the outbox
	}
	flush := c.out.post(res)
	if n > minHold {
		t.shrinkAnswer()
		share.Give(n)
	}
	if flush {
		c.out.flush()
	}
}

// answerExpired sends the error of a call whose deadline has passed.
func (c *serverCall) answerExpired(e *code.Error) {
	if c.oneWay {
		return
	}
	f := Frame{Type: Response, Seq: c.seq, Service: c.service, Method: c.method, Codec: c.codec}
	SetError(&f, e)
	flush := c.out.post(&f)
	// Before the write: a peer that does not read must not keep the handler from learning of the deadline.
	c.cancel(context.DeadlineExceeded)
	if flush {
		c.out.flush()
	}
}
