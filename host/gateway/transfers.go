package gateway

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// stallAfter is how long a body may stall while memory is short.
const stallAfter = time.Second

// transfer is a body being read, or an HTTP/2 response being written.
type transfer struct {
	conn    *conn
	w       http.ResponseWriter
	answer  bool
	at      atomic.Int64 // when a body made progress last, an instant
	stalled bool         // it was ended; guarded by the mutex of transfers until leave
}

// end unblocks the read or write.
func (t *transfer) end() {
	past := time.Unix(1, 0)
	t.stalled = true
	if c := http.NewResponseController(t.w); t.answer {
		_ = c.SetWriteDeadline(past)
	} else {
		_ = c.SetReadDeadline(past)
	}
}

// origin is the moment from which instants count. Unlike those since 1970 they do not jump when the clock of the machine is set.
var origin = time.Now()

// instant returns a time as an integer, which is atomic; timeOf returns the time.
func instant(t time.Time) int64 { return int64(t.Sub(origin)) }

func timeOf(instant int64) time.Time { return origin.Add(time.Duration(instant)) }

// transfers holds the reads and writes of a Server that wait for their peers, and ends those whose peers are silent.
type transfers struct {
	mu   sync.Mutex
	open map[*transfer]struct{}
}

func (s *transfers) begin(t *transfer) {
	t.at.Store(instant(time.Now()))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[*transfer]struct{})
	}
	s.open[t] = struct{}{}
}

// leave removes t, and reports whether it was ended.
func (s *transfers) leave(t *transfer) (stalled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, t)
	stalled = t.stalled
	t.stalled = false
	return stalled
}

// sweep ends the responses to silent peers and, while memory is short, the bodies that make no progress.
func (s *transfers) sweep(now time.Time, b *wire.Budget, silent map[*conn]bool) {
	short := b.Short()
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.open {
		switch {
		case t.stalled:
		case t.answer && silent[t.conn], !t.answer && short && now.Sub(timeOf(t.at.Load())) >= stallAfter:
			t.end()
		}
	}
}
