package wire

import (
	"context"
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
	seq, a, alone, err := c.register(ctx, res)
	if err != nil {
		return err
	}
	req.Seq = seq
	if err := c.send(req, alone && len(req.Payload) <= directBytes); err != nil {
		c.fail(err)
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
	return c.open(res)
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
	c.mu.Lock()
	err := c.err
	req.Seq = c.nextSeq()
	c.mu.Unlock()
	if err != nil {
		return gone(err)
	}
	if err := c.send(req, true); err != nil {
		c.fail(err)
		return lost(err)
	}
	return nil
}

// send queues f and has it written: by this goroutine when direct, which is fastest, as far as the peer takes it at
// once, and otherwise by the flusher, which never holds up a caller whose context ends and takes what others send
// meanwhile along.
func (c *Conn) send(f *Frame, direct bool) error {
	flush, err := c.out.append(f)
	if !flush || err != nil {
		return err
	}
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

// open makes the response plain and finds its error.
func (c *Conn) open(res *Frame) error {
	if e := ErrorOf(res); e != nil {
		return e
	}
	if err := res.Decompress(c.lim.MaxDecompressedBytes); err != nil {
		return badReply(err)
	}
	return nil
}
