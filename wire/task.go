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
	size     int         // of its payload, as it came
	room     int         // taken for what it was decompressed to
	call     *serverCall // nil until it runs

	queued     *task // the next one in the queue
	prev, next *task // the connection's tasks in flight
}

var tasks = sync.Pool{New: func() any { return new(task) }}

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

// taskList is the set of tasks in flight.
type taskList struct {
	head  *task
	n     int
	bytes int64 // of their payloads, as they came
}

func (l *taskList) add(t *task) {
	t.prev, t.next = nil, l.head
	if l.head != nil {
		l.head.prev = t
	}
	l.head = t
	l.n++
	t.size = len(t.req.Payload)
	l.bytes += int64(t.size)
}

func (l *taskList) remove(t *task) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		l.head = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.prev, t.next = nil, nil
	l.n--
	l.bytes -= int64(t.size)
}

// taskQueue is the tasks that wait for a worker, first in, first out.
type taskQueue struct{ first, last *task }

func (q *taskQueue) push(t *task) {
	if q.first == nil {
		q.first = t
	} else {
		q.last.queued = t
	}
	q.last = t
}

func (q *taskQueue) pop() *task {
	t := q.first
	if t != nil {
		q.first, t.queued = t.queued, nil
	}
	return t
}
