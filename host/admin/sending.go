package admin

import (
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	maxHeldBytes = 64 << 20         // of large responses that are being sent
	chunkBytes   = 64 << 10         // that a peer reads at a time
	chunkTimeout = 10 * time.Second // in which it has to
	sendTimeout  = 90 * time.Second // in which it has to read a response
)

// sending bounds the memory of the responses that are being sent. To make room for one it ends others, first those whose peers have
// read nothing for the longest time: slow readers must not hold up operators.
type sending struct {
	max int

	mu   sync.Mutex
	held int
	open map[*transfer]bool
}

// transfer is a response that is being sent.
type transfer struct {
	control *http.ResponseController
	size    int
	began   time.Time
	moved   time.Time // when the peer has last read a chunk
}

func newSending(maximum int) *sending { return &sending{max: maximum, open: make(map[*transfer]bool)} }

// writer returns a writer that sends what it gets within the bound.
func (s *sending) writer(w http.ResponseWriter) http.ResponseWriter { return boundedWriter{w, s} }

// begin adds a transfer, and makes room for it.
func (s *sending) begin(t *transfer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.held+t.size > s.max && len(s.open) > 0 {
		var victim *transfer
		for o := range s.open {
			if victim == nil || o.moved.Before(victim.moved) {
				victim = o
			}
		}
		s.remove(victim)
		_ = victim.control.SetWriteDeadline(time.Now().Add(-time.Second))
	}
	s.open[t] = true
	s.held += t.size
}

// proceed sets the deadline of the next chunk. It returns false if the transfer was ended.
func (s *sending) proceed(t *transfer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open[t] {
		return false
	}
	t.moved = time.Now()
	deadline := t.moved.Add(chunkTimeout)
	if last := t.began.Add(sendTimeout); last.Before(deadline) {
		deadline = last
	}
	_ = t.control.SetWriteDeadline(deadline) // not every writer has one
	return true
}

func (s *sending) end(t *transfer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(t)
}

// remove needs s.mu.
func (s *sending) remove(t *transfer) {
	if s.open[t] {
		delete(s.open, t)
		s.held -= t.size
	}
}

// boundedWriter writes what is large within the bound of sending.
type boundedWriter struct {
	http.ResponseWriter
	sending *sending
}

// Unwrap is for http.ResponseController.
func (w boundedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write writes a whole response. It ends the connection if that is ended for others.
func (w boundedWriter) Write(p []byte) (int, error) {
	if len(p) <= chunkBytes {
		return w.ResponseWriter.Write(p) //nolint:wrapcheck // it is not ours
	}
	now := time.Now()
	t := &transfer{control: http.NewResponseController(w.ResponseWriter), size: len(p), began: now, moved: now}
	w.sending.begin(t)
	defer w.sending.end(t)
	n := 0
	for chunk := range slices.Chunk(p, chunkBytes) {
		if !w.sending.proceed(t) {
			panic(http.ErrAbortHandler) //nolint:forbidigo // how net/http closes a connection in the middle of a response
		}
		m, err := w.ResponseWriter.Write(chunk)
		if n += m; err != nil {
			return n, err //nolint:wrapcheck // it is not ours
		}
	}
	return n, nil
}
