package wire

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

const cacheLine = 64

// The defaults of a Budget.
const (
	DefaultMaxInFlight      = 20_000
	DefaultMaxBufferedBytes = 1 << 30
)

const (
	budgetRetryAfter = 100 * time.Millisecond // of calls that are refused for a budget
	reliefEvery      = 50 * time.Millisecond  // between two looks for peers that take nothing
	reliefSilence    = time.Second            // with no byte taken: then a peer may be cut for the memory of others
)

// Budget bounds what all connections of a host hold together, whatever their protocol: calls that were read and have not
// ended, and bytes that were read, decoded or made for them. Servers and gateways may share one. Each connection has a
// Share, which may take one more call, or byte, only while it holds less than is free. So n connections that take all
// they can get are left with 1/(n+1) of the budget each, and the next one finds as much. A sixteenth is a reserve for
// connections that hold little. A Budget may be used by several goroutines at once.
type Budget struct {
	// All connections write to these, each to both for a call, and read the limits: they are on cache lines of their own.
	calls atomic.Int64
	_     [cacheLine - 8]byte
	bytes atomic.Int64
	_     [cacheLine - 8]byte

	maxCalls, maxBytes atomic.Int64
	epoch              time.Time
	_                  [cacheLine - 40]byte

	spared     atomic.Int64 // of bytes: taken beyond maxBytes by connections that hold little
	refused    atomic.Uint64
	nextRelief atomic.Int64 // in nanoseconds since epoch

	sizes   answerSizes
	favours atomic.Int64 // answers that have taken less than their methods need

	mu     sync.Mutex
	owners map[*Share]*seen
	line   []uint64 // half-read frames that are short of bytes, the oldest first
	places uint64   // that were given so far
}

// Holder is a connection that can hold answers which its peer has not taken.
type Holder interface {
	// Untaken returns how many bytes wait for the peer, and how many it has taken since the connection was opened.
	Untaken() (waiting, taken int64)
	// CutSlow closes the connection, because the host is short of memory and the peer takes nothing. It must not block.
	CutSlow()
}

// seen is what a look at a Holder has shown.
type seen struct {
	taken int64
	since time.Time // when taken was first seen; zero while nothing waits
}

// BudgetUsage is what is in use of a Budget.
type BudgetUsage struct {
	InFlight, MaxInFlight           int64 // calls
	BufferedBytes, MaxBufferedBytes int64
	Refused                         uint64 // calls, since the Budget was made
}

// NewBudget makes a Budget. Values that are not positive mean the defaults.
func NewBudget(maxInFlight int, maxBufferedBytes int64) *Budget {
	b := &Budget{epoch: time.Now(), owners: make(map[*Share]*seen)}
	b.SetLimits(maxInFlight, maxBufferedBytes)
	b.sizes.init()
	return b
}

// SetLimits changes the limits at once. What is held beyond them is not taken back. Values that are not positive mean the
// defaults.
func (b *Budget) SetLimits(maxInFlight int, maxBufferedBytes int64) {
	orDefault(&maxInFlight, DefaultMaxInFlight)
	if maxBufferedBytes <= 0 {
		maxBufferedBytes = DefaultMaxBufferedBytes
	}
	b.maxCalls.Store(int64(maxInFlight))
	b.maxBytes.Store(maxBufferedBytes)
}

// Usage returns what is in use.
func (b *Budget) Usage() BudgetUsage {
	return BudgetUsage{
		InFlight: b.calls.Load(), MaxInFlight: b.maxCalls.Load(),
		BufferedBytes: b.bytes.Load(), MaxBufferedBytes: b.maxBytes.Load(),
		Refused: b.refused.Load(),
	}
}

// Refuse counts a call that is refused because the Budget is used up, and returns the error that says so to its caller.
func (b *Budget) Refuse(host string) *code.Error {
	b.refused.Add(1)
	const what = "the host has no room for the call"
	e := code.Refuse(code.Unavailable, code.ReasonOverloaded, what, "", host, budgetRetryAfter)
	return e.WithAdvice("host.limits (maxInFlight, maxBufferedBytes) allows more")
}

// Short reports whether three quarters of the bytes are in use: what a peer holds up must end soon.
func (b *Budget) Short() bool { return b.bytes.Load() >= b.maxBytes.Load()/4*3 }

// queueUp gives a half-read frame a place in the line of those that are short of bytes.
func (b *Budget) queueUp() (place uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.places++
	b.line = append(b.line, b.places)
	return b.places
}

func (b *Budget) isFirst(place uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.line[0] == place
}

func (b *Budget) leave(place uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i, ok := slices.BinarySearch(b.line, place); ok {
		b.line = slices.Delete(b.line, i, i+1)
	}
}

func (b *Budget) relieveIfFull() {
	if b.bytes.Load() > b.maxBytes.Load() {
		b.relieve()
	}
}

// relieve cuts connections whose peers take no answers, when bytes are short: first the one whose peer has been silent for
// longest with most queued, and as many as it takes.
func (b *Budget) relieve() {
	if !b.Short() {
		return // only a connection that takes too much has been refused
	}
	now := time.Since(b.epoch)
	next := b.nextRelief.Load()
	if int64(now) < next || !b.nextRelief.CompareAndSwap(next, int64(now+reliefEvery)) {
		return
	}
	for _, s := range b.slowest(b.epoch.Add(now)) {
		s.CutSlow()
	}
}

// slowPeer is a connection whose peer has taken nothing for some time.
type slowPeer struct {
	Holder
	waiting int64
	cost    float64 // byte seconds
}

// slowest returns the connections to be cut.
func (b *Budget) slowest(now time.Time) []slowPeer {
	slow := b.silent(now)
	slices.SortFunc(slow, func(x, y slowPeer) int { return cmp.Compare(y.cost, x.cost) })
	excess := b.bytes.Load() - b.maxBytes.Load()/4*3
	for i := range slow {
		if excess <= 0 {
			return slow[:i]
		}
		excess -= slow[i].waiting
	}
	return slow
}

// silent looks at all connections and returns those whose peers have taken nothing for reliefSilence.
func (b *Budget) silent(now time.Time) []slowPeer {
	b.mu.Lock()
	defer b.mu.Unlock()
	var slow []slowPeer
	for s, before := range b.owners {
		waiting, taken := s.holder.Untaken()
		switch {
		case waiting == 0:
			before.since = time.Time{}
		case before.since.IsZero() || before.taken != taken:
			before.taken, before.since = taken, now
		default:
			if silence := now.Sub(before.since); silence >= reliefSilence {
				slow = append(slow, slowPeer{s.holder, waiting, float64(waiting) * silence.Seconds()})
			}
		}
	}
	return slow
}
