package wire

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// directBytes is the longest request that a caller writes itself: an idle connection takes so much without blocking.
const directBytes = 16 << 10

// Do sends req and waits for its response, which it puts into res; what res held is lost. It sets req's sequence and,
// when ctx has a deadline, its __ServerTimeout. It returns the peer's error (then res is its response all the same),
// UNAVAILABLE/connection_lost when the connection breaks, UNAVAILABLE/no_endpoint when it was broken before anything was
// sent, DEADLINE_EXCEEDED/timeout and CANCELLED/cancelled when ctx ends, and INTERNAL/bad_reply when the response is over
// a limit or cannot be decompressed; all are *code.Error. A one-way call returns when it is written, or queued behind
// others. The payload of res is decompressed. A nil res is for those whom it does not interest.
func (c *Conn) Do(ctx context.Context, req, res *Frame) error {
	if ctx.Err() != nil {
		return ended(ctx.Err())
	}
	direct, err := c.prepare(ctx, req)
	if err != nil {
		return err
	}
	if res == nil && !req.OneWay {
		res = new(Frame)
	}
	q, err := c.introduced(ctx, req, res)
	if err != nil {
		return err
	}
	if q.flush {
		if !q.alone || len(req.Payload) > directBytes {
			direct = 0
		}
		if err := c.flush(direct); err != nil {
			c.fail(err)
			if req.OneWay && !c.handedOn() {
				return lost(err)
			}
		}
	}
	if req.OneWay {
		if q.ask {
			c.ask(c.hello())
		}
		return nil
	}
	return c.await(ctx, q.answer, req, res)
}

// await waits for the response of a call that is out.
func (c *Conn) await(ctx context.Context, a *answer, req, res *Frame) error {
	select {
	case <-a.got:
	case <-ctx.Done():
		if c.forget(req.Seq) {
			c.reuse(a)
			return c.takeBack(req.Seq, ctx.Err())
		}
		<-a.got
	}
	err := a.err
	c.reuse(a)
	if err != nil {
		return err
	}
	return c.open(ctx, req, res)
}

// takeBack gives up on a call that was sent, and tells a peer that understands it. When the deadline has passed it knows
// that itself.
func (c *Conn) takeBack(seq uint64, why error) error {
	if c.server.ours.Load() && !errors.Is(why, context.DeadlineExceeded) {
		c.send(&Frame{Type: Request, OneWay: true, Seq: seq, Service: CancelPath})
	}
	return ended(why)
}

// prepare makes req a request that says what the peer must know. direct is how long its caller may be held by a write.
func (c *Conn) prepare(ctx context.Context, req *Frame) (direct time.Duration, err error) {
	if len(req.Payload) > maxPayload {
		return 0, failed(code.ResourceExhausted, code.ReasonTooLarge, "a request of %d bytes does not fit into a frame", len(req.Payload))
	}
	req.Type, req.Heartbeat, req.Status = Request, false, StatusNormal
	if err := c.makeKnown(req); err != nil {
		return 0, err
	}
	if c.accept != "" && !acceptsAny(req.Metadata) {
		req.Metadata.Set(MetaAcceptCompression, c.accept)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return directWait, nil
	}
	left := time.Until(deadline)
	if left <= 0 {
		return 0, ended(context.DeadlineExceeded)
	}
	ms := max(left.Milliseconds(), 1)
	req.Metadata.Set(MetaTimeout, strconv.FormatInt(ms, 10))
	return min(left, directWait), nil
}

// introduced queues req with a key of ours, until the peer has answered: it shows in turn whether it knows what that means.
// The frame does not keep it, since it may be used again.
func (c *Conn) introduced(ctx context.Context, req, res *Frame) (queued, error) {
	if c.server.answered.Load() || acceptsAny(req.Metadata) {
		return c.enqueue(ctx, req, res)
	}
	req.Metadata.Set(MetaAcceptCompression, NoCompression.String())
	defer req.Metadata.Del(MetaAcceptCompression)
	return c.enqueue(ctx, req, res)
}

// makeKnown compresses the payload with gzip when the peer has not shown that it knows what it is compressed with.
func (c *Conn) makeKnown(req *Frame) error {
	if c.Takes(req.Compression) || req.Compression > Zstd {
		return nil
	}
	if err := req.Decompress(maxPayload); err != nil {
		return failed(code.Of(err), code.From(err).Reason, "the payload of the request: %w", err)
	}
	return req.Compress(Gzip)
}

// queued is a call that is in the outbox, or what it waits for: room there, or a place among the calls that are out.
type queued struct {
	*answer
	alone, flush bool
	ask          bool // the peer is to say how far it has got
	turn         *turn
	places       <-chan struct{} // closed when there may be one
}

// enqueue gives the call its sequence and queues it. It waits while too much is queued and too many calls are out.
// Sequences are in the order of the wire, so that the last one which a peer has read tells of all others.
func (c *Conn) enqueue(ctx context.Context, req, res *Frame) (queued, error) {
	var k kept
	if req.OneWay && c.keeps() {
		k = keepable(req)
	}
	var granted *turn
	for {
		q, err := c.tryEnqueue(req, res, granted, k)
		granted = q.turn
		wait := q.places
		switch {
		case granted != nil:
			wait = granted.ready
		case wait == nil:
			return q, c.sendable(err)
		}
		select {
		case <-wait:
		case <-ctx.Done():
			c.out.leave(granted)
			return q, ended(ctx.Err())
		}
	}
}

// tryEnqueue queues the call if it may be queued now; granted is its room when it has waited for some, and k is how it is
// kept when it is a one-way one.
func (c *Conn) tryEnqueue(req, res *Frame, granted *turn, k kept) (q queued, err error) {
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if granted != nil {
		defer o.backlog.leave(granted)
	}
	if o.err != nil {
		return q, o.err
	}
	if n := req.size(); granted == nil && !o.backlog.fits(n) {
		q.turn = o.backlog.queueUp(n)
		return q, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.closedToCalls(); err != nil {
		return q, err
	}
	if req.OneWay {
		q.alone = true
		q.ask = c.announce(req, k)
	} else if q = c.register(req, res); q.places != nil {
		return q, nil
	}
	q.flush = o.put(req)
	return q, nil
}

// keeps reports whether one-way requests are kept until it is known that the peer has begun to run them.
func (c *Conn) keeps() bool { return c.missed != nil && !c.server.stock() }

// handedOn reports whether the peer has said which requests it does not run, so that the one-way ones of them are sent
// elsewhere.
func (c *Conn) handedOn() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refused != nil && c.keeps()
}

// announce gives a one-way request its sequence, and keeps it. It reports whether it is time to ask the peer how far it has
// got. It needs c.mu.
func (c *Conn) announce(req *Frame, k kept) (ask bool) {
	req.Seq = c.nextSeq()
	c.unproven, c.lastOneWay = true, req.Seq
	if !c.keeps() {
		return false
	}
	c.kept.add(req, k)
	return c.interval > 0 && c.kept.bytes >= askBytes && c.asks == c.echoes
}

// sendable makes the error of a call that was not queued. A connection that takes nothing more has ended.
func (c *Conn) sendable(err error) error {
	var coded *code.Error
	if err == nil || errors.As(err, &coded) {
		return err
	}
	c.fail(err)
	return gone(c.Err())
}

// Ping asks the peer for a sign of life, and returns when it has sent a frame, be it an earlier one. It fails with
// UNAVAILABLE/no_endpoint when the connection ends without one, as with a peer that speaks something else, or ctx does.
// Ours learn from it who calls, and show what they know: done first, it keeps the calls free of such metadata.
func (c *Conn) Ping(ctx context.Context) error {
	c.ask(c.hello())
	select {
	case <-c.server.spoken:
		return nil
	case <-c.done:
		return mute(c.Err())
	case <-ctx.Done():
		return mute(ctx.Err())
	}
}

// hello is metadata with a key of ours: peers that know it say more when they answer.
func (c *Conn) hello() Metadata {
	return Metadata{{MetaAcceptCompression, cmp.Or(c.accept, NoCompression.String())}}
}

// ask sends a heartbeat.
func (c *Conn) ask(m Metadata) {
	c.mu.Lock()
	c.asks++
	c.mu.Unlock()
	c.send(&Frame{Type: Request, Heartbeat: true, Seq: HeartbeatSeq, Metadata: m})
}

// send queues a small frame of the connection's own, and has it written. It does not wait.
func (c *Conn) send(f *Frame) {
	c.out.mu.Lock()
	flush := c.out.put(f)
	c.out.mu.Unlock()
	if flush {
		_ = c.flush(0) // never fails
	}
}

// flush has what is queued written: by this goroutine when it may be held up for direct, which is fastest, as far as the
// peer takes it at once, and otherwise by the flusher, which never holds up a caller whose context ends and takes what
// others send meanwhile along.
func (c *Conn) flush(direct time.Duration) error {
	if direct > 0 && !c.out.fragile {
		if left, err := c.out.flushOnce(direct); !left || err != nil {
			return err
		}
	}
	select {
	case c.flushes <- struct{}{}:
	default: // it has been woken and has not looked yet
	}
	return nil
}

// open makes the response plain and finds its error. A peer that knows no codes, and answers with an error when the
// deadline that it was told has passed, has run into that, whatever it says.
func (c *Conn) open(ctx context.Context, req, res *Frame) error {
	if e := errorOf(res, req); e != nil {
		if res.Decompress(c.lim.MaxDecompressedBytes) != nil {
			res.Payload = res.Payload[:0] // the error is what counts
		}
		if lacksCode(res) && told(ctx) {
			e.Code, e.Reason = code.DeadlineExceeded, code.ReasonTimeout
		}
		return e
	}
	if err := res.Decompress(c.lim.MaxDecompressedBytes); err != nil {
		return badReply(err)
	}
	return nil
}

// told reports whether the deadline that the peer was told has passed. That is in whole milliseconds, and so up to one
// before our own. The peer counts them from when it has read the call: no clock of its own has a part in it.
func told(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < time.Millisecond
}
