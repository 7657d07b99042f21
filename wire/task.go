package wire

import (
	"context"
	"sync"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// task is a request on its way through a server: read, queued, run, answered. Its frames are used again.
type task struct {
	req, res Frame
	plain    []byte // memory for a decompressed request, or a compressed response
	arrived  time.Time
	used     Compression // of the request, as it came
	held     int64       // bytes of the budget
	place    uint64      // in its line, when bytes were got that were not there; else 0
	counted  bool        // it has taken the place of a call
	call     *serverCall // nil until it runs

	// What its connection knows of it, while the handler has the frames.
	answer     Answer
	seq        uint64
	oneWay     bool
	parked     bool
	cancelled  bool  // before it ran
	refused    bool  // there is no room for its answer
	queued     *task // the next one in the queue
	prev, next *task // the connection's tasks in flight
}

var tasks = sync.Pool{New: func() any { return new(task) }}

// size is what t holds in memory, as far as its peer can choose that.
func (t *task) size() int64 { return int64(cap(t.req.Payload) + t.req.Metadata.size()) }

// slim gives up memory that was kept for longer requests, and returns what t holds then.
func (t *task) slim() int64 {
	if cap(t.req.Payload) > 2*len(t.req.Payload) {
		t.req.Payload = append([]byte(nil), t.req.Payload...)
	}
	return t.size()
}

// pointless reports whether nobody waits for the answer any longer.
func (t *task) pointless() bool {
	deadline, ok := CallerDeadline(t.arrived, t.req.Metadata)
	return t.cancelled || ok && !time.Now().Before(deadline)
}

// slimAnswer gives up the memory of an answer that has been queued, unless it is used again.
func (t *task) slimAnswer() {
	if cap(t.res.Payload) > keepPayload {
		t.res.Payload = nil
	}
	if cap(t.plain) > keepPayload {
		t.plain = nil
	}
}

// recycle gives t's memory back, but not what is large.
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

// serverCall is the context of a call that came through a connection, with all that an answer needs when the handler
// still holds the frames.
type serverCall struct {
	Call
	conn            *serverConn
	seq             uint64
	service, method string
	codec           Codec
	oneWay          bool
}

func (s *serverCall) answerEarly(e *code.Error) {
	if s.oneWay {
		return
	}
	f := Frame{Type: Response, Seq: s.seq, Service: s.service, Method: s.method, Codec: s.codec}
	SetError(&f, e)
	flush := s.conn.post(&f)
	// Before the write, in which a peer that does not read would keep the handler from learning of its end.
	s.cancel(context.DeadlineExceeded)
	if flush {
		s.conn.flush()
	}
}
