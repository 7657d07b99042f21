package wire

import (
	"context"
	"errors"
	"time"
)

// responseReader reads the responses of a Conn. Only the goroutine that has its readerRole may use it.
type responseReader struct {
	t     *clientTransport
	alive keepalive
	in    *Reader
	frame Frame
}

// background reads until the connection ends, or until a caller may read. It is called by the timer of the role, or with the
// role.
func (r *responseReader) background() {
	r.t.mu.Lock()
	r.t.role.resting = false
	r.t.mu.Unlock()
	for r.next() {
		if !r.in.hasFrame() && r.t.rests() {
			return
		}
	}
	r.end()
}

// restQuiet is the silence after which the connection may have ended while nobody read.
const restQuiet = 100 * time.Microsecond

// notice ends a connection that the peer has closed while nobody read, so that no call is sent into it.
func (r *responseReader) notice() {
	t := r.t
	t.mu.Lock()
	var end error
	if t.role.resting && time.Since(r.alive.last) > restQuiet {
		end = peekEnd(t.conn)
	}
	t.mu.Unlock()
	if end != nil {
		t.fail(end)
	}
}

// lead reads until a has arrived, and returns its error. If ctx can end, it does so for at most maxLead; then, and for a
// long frame, it starts the background goroutine and reports false.
func (r *responseReader) lead(ctx context.Context, a *answer) (arrived bool, err error) {
	if deadline, ok := ctx.Deadline(); (ok || ctx.Done() != nil) && !r.alive.limit(deadline) {
		r.retreat()
		return false, nil
	}
	for {
		whole, err := r.in.buffer()
		switch {
		case whole:
			r.next()
		case err == nil || timedOut(err):
			r.retreat()
			return false, nil
		default:
			r.t.fail(err)
		}
		select {
		case <-a.got:
			err := a.err
			r.leave(a)
			return true, err
		default:
		}
	}
}

// retreat passes the role to the background goroutine.
func (r *responseReader) retreat() {
	r.alive.limited = false
	r.t.mu.Lock()
	r.t.role.crowd = crowdCalls
	r.t.mu.Unlock()
	go r.background()
}

// leave gives up the role when a has arrived.
func (r *responseReader) leave(a *answer) {
	r.alive.limited = false
	t := r.t
	t.mu.Lock()
	t.pending.reuse(a)
	ended := t.err != nil
	rests := !ended && t.role.rests(len(t.pending.bySeq))
	t.mu.Unlock()
	switch {
	case ended:
		r.end()
	case !rests:
		go r.background()
	}
}

// end ends the role with the connection.
func (r *responseReader) end() {
	r.in.Release()
	r.t.over.Done()
}

// next reads and handles one frame. It reports false when the connection has ended.
func (r *responseReader) next() bool {
	err := r.in.Read(&r.frame)
	if err == nil {
		r.t.take(&r.frame)
		return true
	}
	var bad *FrameError
	if !errors.As(err, &bad) || bad.Fatal {
		r.t.fail(err)
		return false
	}
	r.t.settle(&r.frame, badReply(err)) // sound, but over a limit: only its own call fails
	return true
}
