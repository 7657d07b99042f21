package wire

import (
	"sync"
	"time"
)

// sweepEvery is the minimum time that a worker is idle before it ends.
const sweepEvery = 5 * time.Second

// workers is a pool of goroutines that run a server's calls. All connections share it, so an idle connection has none.
// Workers are reused because growing the stack is most of the cost of a goroutine. Their number is not limited: a new one
// starts when none is idle.
type workers struct {
	mu    sync.Mutex
	users int // running calls of Serve
	idle  []*worker
	low   int // minimum number of idle workers since the last sweep
	sweep *time.Timer
}

type worker struct {
	work  chan *serverCalls // closed to end the worker
	gone  chan struct{}
	timer *callTimer
}

func (p *workers) use() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users++
}

// leave ends the idle workers when the last user leaves, and waits for them.
func (p *workers) leave() {
	p.mu.Lock()
	p.users--
	if p.users > 0 {
		p.mu.Unlock()
		return
	}
	retired := p.idle
	p.idle, p.low = nil, 0
	if p.sweep != nil {
		p.sweep.Stop()
		p.sweep = nil
	}
	p.mu.Unlock()
	for _, w := range retired {
		close(w.work)
		<-w.gone
	}
}

// wake has an idle or new worker run calls of c.
func (p *workers) wake(c *serverCalls) {
	p.mu.Lock()
	n := len(p.idle)
	if n == 0 {
		p.mu.Unlock()
		w := &worker{work: make(chan *serverCalls, 1), gone: make(chan struct{}), timer: new(callTimer)}
		go p.run(w, c)
		return
	}
	w := p.idle[n-1] // the most recently used
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	p.low = min(p.low, n-1)
	p.mu.Unlock()
	w.work <- c
}

func (p *workers) run(w *worker, c *serverCalls) {
	defer close(w.gone)
	for ok := true; ok; c, ok = <-w.work {
		c.work(w)
		if !p.park(w) {
			return
		}
	}
}

func (p *workers) park(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users == 0 {
		return false
	}
	p.idle = append(p.idle, w)
	if p.sweep == nil {
		p.low = 0
		p.sweep = time.AfterFunc(sweepEvery, p.retire)
	}
	return true
}

// retire ends the workers that were idle since the last sweep.
func (p *workers) retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sweep == nil {
		return
	}
	for _, w := range p.idle[:p.low] {
		close(w.work)
	}
	p.idle = append([]*worker(nil), p.idle[p.low:]...)
	p.low = len(p.idle)
	if p.low == 0 {
		p.sweep = nil
		return
	}
	p.sweep.Reset(sweepEvery)
}
