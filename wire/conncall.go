package wire

import (
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
// sent, DEADLINE_EXCEEDED/timeout and CANCELLED/cancelled when ctx ends, and with bad_reply when the response is over a
// limit or cannot be decompressed; all are *code.Error. A one-way call returns when it is written, or queued behind
// others. The payload of res is decompressed. A nil res is for those whom it does not interest.
func (c *Conn) Do(ctx context.Context, req, res *Frame) error {
	if ctx.Err() != nil {
		return ended(ctx.Err())
	}
	if err := c.prepare(ctx, req); err != nil {
		return err
	}
	if req.OneWay {
		return c.tell(req)
	}
	if res == nil {
		res = new(Frame)
	}
	q, err := c.enqueue(ctx, req, res)
	if err != nil {
		return err
	}
	a, seq := q.answer, req.Seq
	if q.flush {
		if err := c.flush(q.alone && len(req.Payload) <= directBytes); err != nil {
			c.fail(err)
		}
	}
	select {
	case <-a.got:
	case <-ctx.Done():
		if c.forget(seq) {
			c.reuse(a)
			return ended(ctx.Err())
		}
		<-a.got
	}
	err = a.err
	c.reuse(a)
	if err != nil {
		return err
	}
	return c.open(ctx, req, res)
}

// prepare makes req a request that says what the peer must know.
func (c *Conn) prepare(ctx context.Context, req *Frame) error {
	if len(req.Payload) > maxPayload {
		return failed(code.ResourceExhausted, code.ReasonTooLarge, "a request of %d bytes does not fit into a frame", len(req.Payload))
	}
	req.Type, req.Heartbeat, req.Status = Request, false, StatusNormal
	if c.accept != "" && !acceptsAny(req.Metadata) {
		req.Metadata.Set(MetaAcceptCompression, c.accept)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return nil
	}
	left := time.Until(deadline)
	if left <= 0 {
		return ended(context.DeadlineExceeded)
	}
	ms := max(left.Milliseconds(), 1)
	req.Metadata.Set(MetaTimeout, strconv.FormatInt(ms, 10))
	return nil
}

// tell sends a one-way request.
func (c *Conn) tell(req *Frame) error {
	flush, err := c.enqueueOneWay(req)
	if err != nil || !flush {
		return c.sendable(err)
	}
	if err := c.flush(true); err != nil {
		c.fail(err)
		return lost(err)
	}
	return nil
}

// queued is a call that is in the outbox, or places, a channel that is closed when there may be a place for it.
type queued struct {
	*answer
	alone, flush bool
	places       <-chan struct{}
}

// enqueue gives the call its sequence and queues it. It waits while too many calls are out. Sequences are in the order
// of the wire, so that the last one which a peer has read tells of all others.
func (c *Conn) enqueue(ctx context.Context, req, res *Frame) (queued, error) {
	for {
		q, err := c.tryEnqueue(req, res)
		if q.places == nil {
			return q, c.sendable(err)
		}
		select {
		case <-q.places:
		case <-ctx.Done():
			return q, ended(ctx.Err())
		}
	}
}

func (c *Conn) tryEnqueue(req, res *Frame) (q queued, err error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if err := c.out.room(int64(len(req.Payload))); err != nil {
		return q, err
	}
	if q, err = c.register(req, res); err == nil && q.places == nil {
		q.flush = c.out.put(req)
	}
	return q, err
}

func (c *Conn) enqueueOneWay(req *Frame) (flush bool, err error) {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if err := c.out.room(int64(len(req.Payload))); err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.closedToCalls(); err != nil {
		return false, err
	}
	req.Seq = c.nextSeq()
	return c.out.put(req), nil
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

// send queues f and has it written: by this goroutine when direct, which is fastest, as far as the peer takes it at
// once, and otherwise by the flusher, which never holds up a caller whose context ends and takes what others send
// meanwhile along.
func (c *Conn) send(f *Frame, direct bool) error {
	flush, err := c.out.append(f)
	if !flush || err != nil {
		return err
	}
	return c.flush(direct)
}

// flush has what is queued written, see send.
func (c *Conn) flush(direct bool) error {
	if direct && !c.fragile {
		if left, err := c.out.try(); !left || err != nil {
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
		if knowsNoCodes(res) && told(ctx) {
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
