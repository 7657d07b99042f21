package wire

import (
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

const (
	worthCompressing = 1 << 10
	maxPayload       = 1 << 30 // of what is sent: all its lengths fit into 32 bits, and into the ints of small machines
)

// dispatch queues t and sees to it that a worker looks for it.
func (c *serverConn) dispatch(t *task) {
	c.mu.Lock()
	if c.ended || c.deaf {
		c.mu.Unlock()
		t.recycle()
		return
	}
	c.know(&t.req)
	c.inFlight.add(t)
	c.queue.push(t)
	wake := c.looking == 0
	if wake {
		c.looking++
	}
	c.mu.Unlock()
	if wake {
		c.srv.pool.wake(c)
	}
}

// work runs queued calls until there are none. There is always a worker looking while something is queued: one that
// is about to run a call, which may block, has another look first. The caller has counted this worker as looking.
func (c *serverConn) work(w *worker) {
	c.mu.Lock()
	for {
		t := c.queue.pop()
		if t == nil {
			c.looking--
			c.mu.Unlock()
			return
		}
		c.looking--
		another := c.queue.first != nil && c.looking == 0
		if another {
			c.looking++
		}
		t.call = c.newCall(t, w)
		c.mu.Unlock()
		if another {
			c.srv.pool.wake(c)
		}
		c.run(t, w)
		c.mu.Lock()
		c.looking++
	}
}

// newCall needs c.mu, so that the call is seen when the connection ends.
func (c *serverConn) newCall(t *task, w *worker) *serverCall {
	call := &serverCall{
		Call: Call{
			transport: "rpcx", peer: c.peer, arrived: t.arrived, values: c.group.ctx, timer: w.timer,
			decoding: Decoding{MaxBytes: c.lim.MaxDecompressedBytes},
		},
		conn:    c,
		seq:     t.req.Seq,
		service: t.req.Service,
		method:  t.req.Method,
		codec:   t.req.Codec,
		oneWay:  t.req.OneWay,
	}
	call.answerer = call
	return call
}

// run runs the handler and answers. What is deferred runs even when the handler panics or ends its goroutine.
func (c *serverConn) run(t *task, w *worker) {
	call := t.call
	var err error
	returned := false
	defer func() {
		if !returned {
			err = c.crashed(t, recover())
		}
		if call.finish() && !call.oneWay {
			c.answer(t, err)
		}
		if w.timer.spent {
			w.timer = new(callTimer)
		}
		c.done(t)
	}()
	err = c.handle(t)
	returned = true
}

func (c *serverConn) handle(t *task) error {
	if err := c.out.uncrowded(); err != nil {
		return err
	}
	if t.req.Compression != NoCompression {
		if err := c.decompress(t); err != nil {
			return err
		}
	}
	t.res.Codec = t.req.Codec
	return c.srv.handler.Handle(&t.call.Call, &t.req, &t.res)
}

// crashed makes the answer of a handler that panicked, or ended its goroutine, for which recover gives nil.
func (c *serverConn) crashed(t *task, value any) error {
	what := fmt.Sprintf("panic: %v", value)
	if value == nil {
		what = "the handler ended its goroutine"
	}
	t.res.Payload = t.res.Payload[:0]
	c.srv.log.Error("handler crashed", "service", t.call.service, "method", t.call.method, "error", what,
		"stack", string(debug.Stack()))
	return code.Refuse(code.Internal, code.ReasonPanic, "the handler crashed", "", "", 0)
}

// answer sends what the handler made of the call: an error, too, has a reply next to it when there is one, as rpcx has it.
func (c *serverConn) answer(t *task, err error) {
	call, res := t.call, &t.res
	res.Type, res.Seq, res.Service, res.Method = Response, call.seq, call.service, call.method
	res.Heartbeat, res.OneWay, res.Compression, res.Status = false, false, NoCompression, StatusNormal
	res.Codec = call.codec
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
	c.compress(t)
	c.send(res)
}

// compress compresses the reply when the peer understands it and it pays.
func (c *serverConn) compress(t *task) {
	if len(t.res.Payload) < worthCompressing {
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

func accepts(list string, c Compression) bool {
	for name := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(name) == c.String() {
			return true
		}
	}
	return false
}

// done takes t out of the calls in flight.
func (c *serverConn) done(t *task) {
	c.mu.Lock()
	c.inFlight.remove(t)
	if c.inFlight.n == 0 {
		c.quietSince = time.Now()
		if c.empty != nil {
			close(c.empty)
			c.empty = nil
		}
	}
	c.giveRoom(t)
	if !c.full() {
		c.resume()
	}
	c.mu.Unlock()
	t.recycle()
}
