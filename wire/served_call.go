package wire

import (
	"context"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Watch finds the calls that last longer than a moment; the others need neither timers nor functions that wait for the end of
// their parents. It must be started, and may be shared.
type Watch struct{ watch }

// Start begins to look, until stop is called.
func (w *Watch) Start() (stop func()) { return w.start() }

// EarlyAnswerer answers a call before its handler has returned.
type EarlyAnswerer interface {
	// AnswerEarly is called at most once for a call, on a goroutine of its own unless the deadline was in the past: at the deadline, with
	// the error of the Expirer, or with nil when the parent of the call has ended.
	AnswerEarly(e *code.Error)
}

// ServedCall is a Call that a server of another protocol uses again, as a Server does its own. A handler may keep the context that
// Call.Keep returns, but not the Call.
type ServedCall struct {
	Call
	// Outlasts, if not nil, is called when the Watch has found that the call runs for a while, and before the end of the parent is
	// noticed. It must not be changed between Begin and Finish.
	Outlasts func()

	own     origin
	early   EarlyAnswerer
	running running
}

// Begin begins a call, which ends when parent does, and returns it. If w is not nil, the end of parent may be noticed two
// milliseconds late. a may be nil if nobody answers early.
func (c *ServedCall) Begin(parent context.Context, o *CallOptions, w *Watch, a EarlyAnswerer) *Call {
	c.reset()
	c.own = o.origin()
	c.from, c.arrived, c.values, c.early = &c.own, time.Now(), parent, a
	if a != nil {
		c.answerer = c
	}
	c.running.served = c
	if w == nil {
		c.running.slot = nil
		c.outlasts()
		return &c.Call
	}
	c.young = true
	if c.running.watch != &w.watch {
		w.admit(&c.running)
	}
	c.running.enterWatch()
	return &c.Call
}

// Finish must be called once when the handler has returned. It ends the call, releases what was charged, and reports whether the
// call is still to be answered. Otherwise AnswerEarly has returned.
func (c *ServedCall) Finish() (answer bool) {
	c.running.leaveWatch()
	if answer = c.finish(); !answer {
		c.awaitExpiry()
	}
	return answer
}

// answerExpired ends the context first: a peer that does not read must not delay that.
func (c *ServedCall) answerExpired(e *code.Error) {
	c.cancel(context.DeadlineExceeded)
	c.early.AnswerEarly(e)
}

// outlasts has the end of the parent end the call, and starts its timer.
func (c *ServedCall) outlasts() {
	if c.Outlasts != nil {
		c.Outlasts()
	}
	c.Call.outlasts()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.values.Done() == nil {
		return
	}
	use := c.use
	c.detach = context.AfterFunc(c.values, func() { c.abandon(use) })
}

// abandon ends the call, if it is still the one that use counts, because its parent has ended.
func (c *ServedCall) abandon(use uint64) {
	c.mu.Lock()
	if c.use != use || c.err != nil || c.answered || c.settled {
		c.mu.Unlock()
		return
	}
	c.end(c.values.Err())
	if c.early == nil {
		c.mu.Unlock()
		return
	}
	answered := make(chan struct{})
	c.answered, c.expiring = true, answered
	c.mu.Unlock()
	defer close(answered)
	c.early.AnswerEarly(nil)
}
