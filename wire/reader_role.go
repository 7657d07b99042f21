package wire

import "time"

const (
	restTime   = 2 * time.Millisecond // time without a call after which the background goroutine reads again
	crowdCalls = 32                   // calls in a row that must be alone before a caller reads
)

// readerRole decides which goroutine reads the responses of a Conn: a caller whose call is the only one reads its own
// response, which saves a switch between goroutines; otherwise a background goroutine reads. After the call of such a caller
// nobody reads for restTime, so that the next caller can, and then the background goroutine. The mu of the clientTransport
// guards it.
type readerRole struct {
	background func()      // reads in a goroutine of its own
	timer      *time.Timer // calls background
	resting    bool        // nobody reads, and the timer runs
	crowd      int         // calls to come whose callers do not read, since calls were concurrent or slow
}

// start begins with a rest.
func (r *readerRole) start(background func()) {
	r.background, r.resting = background, true
	r.timer = time.AfterFunc(restTime, background)
}

// join counts a call, and reports whether its caller must read. alone is set if no other call waits for a response.
func (r *readerRole) join(alone bool) (leads bool) {
	switch {
	case !alone:
		r.crowd = crowdCalls
	case r.crowd > 0:
		r.crowd--
	case r.take():
		return true
	}
	r.rouse()
	return false
}

// take ends the rest, and reports whether the caller must provide a reader now.
func (r *readerRole) take() bool {
	if !r.resting || !r.timer.Stop() {
		return false
	}
	r.resting = false
	return true
}

// rouse starts the background goroutine if nobody reads.
func (r *readerRole) rouse() {
	if r.take() {
		go r.background()
	}
}

// rests reports whether the reader may stop until the next call, and starts the rest then. waiting is the number of calls
// that wait for responses.
func (r *readerRole) rests(waiting int) bool {
	if waiting > 0 || r.crowd > 0 {
		return false
	}
	r.resting = true
	r.timer.Reset(restTime)
	return true
}
