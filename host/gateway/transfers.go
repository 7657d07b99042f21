package gateway

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// stallAfter is how long a body may make no progress when memory is short.
const stallAfter = time.Second

// transfer is a body on its way in, or an answer of HTTP/2 on its way out.
type transfer struct {
	conn    *conn
	w       http.ResponseWriter
	answer  bool
	at      atomic.Int64 // of a body: when the last of it came, in nanoseconds since 1970
	stalled bool         // it was ended; guarded by the mutex of transfers until it has left
}

// end has what waits for the peer return.
func (t *transfer) end() {
	past := time.Unix(1, 0)
	t.stalled = true
	if c := http.NewResponseController(t.w); t.answer {
		_ = c.SetWriteDeadline(past)
	} else {
		_ = c.SetReadDeadline(past)
	}
}

// transfers are what the requests of a Server wait for. Those of peers that do nothing for them are ended.
type transfers struct {
	mu   sync.Mutex
	open map[*transfer]struct{}
}

func (s *transfers) begin(t *transfer) {
	t.at.Store(time.Now().UnixNano())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[*transfer]struct{})
	}
	s.open[t] = struct{}{}
}

// leave forgets t, and reports whether it was ended.
func (s *transfers) leave(t *transfer) (stalled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, t)
	stalled = t.stalled
	t.stalled = false
	return stalled
}

// sweep ends the answers of silent connections and, when memory is short, the bodies that do not come.
func (s *transfers) sweep(now time.Time, b *wire.Budget, silent map[*conn]bool) {
	short := b.Short()
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.open {
		switch {
		case t.stalled:
		case t.answer && silent[t.conn], !t.answer && short && now.Sub(time.Unix(0, t.at.Load())) >= stallAfter:
			t.end()
		}
	}
}
