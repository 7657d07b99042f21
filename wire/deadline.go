package wire

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// ExpireAt ends the call at t. If it is not answered by then, late's error is answered at once, the context ends with
// context.DeadlineExceeded, and what the handler returns later is dropped; the handler's frames and its place among
// the calls in flight stay taken until Handle returns. The earliest of several wins. A t that has passed acts at once.
func (c *Call) ExpireAt(t time.Time, late func() *code.Error) {
	left := time.Until(t)
	c.mu.Lock()
	if c.err != nil || c.answered || !c.deadline.IsZero() && !t.Before(c.deadline) {
		c.mu.Unlock()
		return
	}
	c.deadline, c.late = t, late
	if left <= 0 {
		c.mu.Unlock()
		c.expire()
		return
	}
	defer c.mu.Unlock()
	if c.timer == nil {
		c.timer = new(callTimer)
	}
	c.timer.arm(c, left)
}

// expire answers late and ends the call.
func (c *Call) expire() {
	c.mu.Lock()
	if c.err != nil || c.answered {
		c.mu.Unlock()
		return
	}
	early := make(chan struct{})
	c.answered, c.early = true, early
	answerer, late := c.answerer, c.late
	c.mu.Unlock()
	defer close(early)
	if answerer != nil {
		answerer.answerEarly(late())
	} else {
		_ = late() // settles what the handler's guard holds
	}
	c.cancel(context.DeadlineExceeded)
}

// awaitEarly returns when the answer of a call that expires has been given.
func (c *Call) awaitEarly() {
	c.mu.Lock()
	early := c.early
	c.mu.Unlock()
	if early != nil {
		<-early
	}
}

// callTimer is the timer of a call's deadline. It is used again for the next call of the same worker, as long as it
// never fired: one that did may still be on its way into the call it was armed for.
type callTimer struct {
	timer *time.Timer
	call  *Call
	spent bool
	armed bool
}

// arm needs the call's lock.
func (t *callTimer) arm(c *Call, d time.Duration) {
	t.release()
	if t.spent {
		c.timer = new(callTimer)
		t = c.timer
	}
	t.call, t.armed = c, true
	if t.timer == nil {
		t.timer = time.AfterFunc(d, t.fire)
		return
	}
	t.timer.Reset(d)
}

func (t *callTimer) fire() { t.call.expire() }

// release stops the timer. It is spent when it could not be stopped.
func (t *callTimer) release() {
	if !t.armed {
		return
	}
	t.armed = false
	if !t.timer.Stop() {
		t.spent = true
		return
	}
	t.call = nil
}

// CallerDeadline returns the deadline that the caller gave with its request: the milliseconds of __ServerTimeout, counted
// from the arrival. With none left, 0 or fewer, that is the arrival itself. Values that are no number give none.
func CallerDeadline(arrived time.Time, m Metadata) (time.Time, bool) {
	v, ok := m.Lookup(MetaTimeout)
	if !ok {
		return time.Time{}, false
	}
	ms, err := strconv.ParseInt(v, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrSyntax) || ms > math.MaxInt64/int64(time.Millisecond):
		return time.Time{}, false
	case ms <= 0:
		return arrived, true
	}
	return arrived.Add(time.Duration(ms) * time.Millisecond), true
}
