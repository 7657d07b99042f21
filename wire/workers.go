package wire

import (
	"runtime"
	"sync"
	"time"
)

// sweepEvery is the minimum time that a worker is idle before it ends.
const sweepEvery = 3 * time.Second

// workers is a pool of goroutines that read a server's connections and run its calls. All connections share it, so a sleeping
// connection has none. Workers are reused because growing the stack is most of the cost of a goroutine. Their number is not
// limited: a new one starts when none is idle.
type workers struct {
	watch    watch
	sleepers sleepers

	mu      sync.Mutex
	users   int    // running calls of Serve
	unwatch func() // stops the watch
	idle    []*worker
	low     int // minimum number of idle workers since the last sweep
	sweep   *time.Timer
}

type worker struct {
	jobs chan job // closed to end the worker
	gone chan struct{}
	running
}

// job is a connection to read, or one with calls to run.
type job interface{ work(w *worker) }

func (p *workers) use() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users++
	if p.users == 1 {
		p.unwatch = p.watch.start()
	}
}

// leave ends the idle workers when the last user leaves, and waits for them.
func (p *workers) leave() {
	p.mu.Lock()
	p.users--
	if p.users > 0 {
		p.mu.Unlock()
		return
	}
	retired, unwatch := p.idle, p.unwatch
	p.idle, p.low = nil, 0
	if p.sweep != nil {
		p.sweep.Stop()
		p.sweep = nil
	}
	p.mu.Unlock()
	for _, w := range retired {
		close(w.jobs)
		<-w.gone
	}
	unwatch()
	p.sleepers.close()
}

// wake has an idle or new worker do a job.
func (p *workers) wake(j job) {
	p.mu.Lock()
	n := len(p.idle)
	if n == 0 {
		p.mu.Unlock()
		w := &worker{jobs: make(chan job, 1), gone: make(chan struct{})}
		p.watch.admit(&w.running)
		go p.run(w, j)
		return
	}
	w := p.idle[n-1] // the most recently used
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	p.low = min(p.low, n-1)
	p.mu.Unlock()
	w.jobs <- j
}

func (p *workers) run(w *worker, j job) {
	defer close(w.gone)
	for ok := true; ok; j, ok = <-w.jobs {
		j.work(w)
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

// manyRetired is the number of workers whose stacks are worth a garbage collection, which with a small heap is minutes away.
const manyRetired = 1000

// collect waits for the end of workers, and frees their stacks.
func collect(retired []*worker) {
	for _, w := range retired {
		<-w.gone
	}
	runtime.GC()
}

// retire ends the workers that were idle since the last sweep.
func (p *workers) retire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sweep == nil {
		return
	}
	for _, w := range p.idle[:p.low] {
		close(w.jobs)
	}
	if p.low >= manyRetired {
		go collect(p.idle[:p.low])
	}
	p.idle = append([]*worker(nil), p.idle[p.low:]...)
	p.low = len(p.idle)
	if p.low == 0 {
		p.sweep = nil
		return
	}
	p.sweep.Reset(sweepEvery)
}
