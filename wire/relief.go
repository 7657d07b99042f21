package wire

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	reliefEvery   = 50 * time.Millisecond // minimum time between two checks
	reliefSilence = time.Second           // a peer that has read nothing for this long may be disconnected to free memory
)

// Holder is a connection whose queued answers hold memory while its peer does not read them.
type Holder interface {
	// Progress returns the number of bytes queued for the peer, and of those written since the connection was opened.
	Progress() (queued, written int64)
	// Abort closes the connection, to free memory. It must not block.
	Abort()
}

// relief closes connections whose peers do not read answers, to free the memory of these.
type relief struct {
	next atomic.Int64 // earliest time of the next check, in nanoseconds since the Budget's epoch

	mu      sync.Mutex
	holders map[*holderProgress]struct{}
}

// holderProgress is the state of a Holder at the last check.
type holderProgress struct {
	Holder
	taken int64
	since time.Time // when taken last changed; zero while nothing is queued
}

func (r *relief) watch(h Holder) *holderProgress {
	p := &holderProgress{Holder: h}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holders == nil {
		r.holders = make(map[*holderProgress]struct{})
	}
	r.holders[p] = struct{}{}
	return p
}

func (r *relief) forget(p *holderProgress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.holders, p)
}

// run frees excess bytes, unless it ran within reliefEvery. It closes the connections with the most byte seconds first:
// queued bytes times the time without progress.
func (r *relief) run(epoch time.Time, excess int64) {
	now := time.Now()
	elapsed, next := int64(now.Sub(epoch)), r.next.Load()
	if elapsed < next || !r.next.CompareAndSwap(next, elapsed+int64(reliefEvery)) {
		return
	}
	slow := r.silent(now)
	slices.SortFunc(slow, func(x, y slowPeer) int { return cmp.Compare(y.cost, x.cost) })
	for _, s := range slow {
		if excess <= 0 {
			return
		}
		excess -= s.waiting
		s.Abort()
	}
}

// slowPeer is a connection whose peer has read nothing for reliefSilence.
type slowPeer struct {
	Holder
	waiting int64
	cost    float64 // byte seconds
}

// silent checks all connections and returns those whose peers have read nothing for reliefSilence.
func (r *relief) silent(now time.Time) []slowPeer {
	r.mu.Lock()
	defer r.mu.Unlock()
	var slow []slowPeer
	for p := range r.holders {
		waiting, taken := p.Progress()
		switch {
		case waiting == 0:
			p.since = time.Time{}
		case p.since.IsZero() || p.taken != taken:
			p.taken, p.since = taken, now
		default:
			if silence := now.Sub(p.since); silence >= reliefSilence {
				slow = append(slow, slowPeer{p.Holder, waiting, float64(waiting) * silence.Seconds()})
			}
		}
	}
	return slow
}
