package wire

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// The defaults of a Budget.
const (
	DefaultMaxInFlight      = 20_000
	DefaultMaxBufferedBytes = 1 << 30
)

const (
	budgetRetryAfter = 100 * time.Millisecond // of calls that are refused for a budget
	lastPart         = 16                     // one in so many parts is kept for connections that ask for little
	firstBytes       = 64 << 10               // what is little for one of which nothing is known
	firstCall        = 4 << 10                // what it gets when others have used up the budget
	greedFor         = time.Second            // since a refusal: for so long a connection does not get of that part
	reliefEvery      = 50 * time.Millisecond  // between two looks for peers that take nothing
	reliefSilence    = time.Second            // with no byte taken: then a peer may be cut for the memory of others
)

// Budget bounds what all connections of a host hold together, whatever their protocol: calls that were read and have not
// ended, and bytes that were read, decoded or made for them. Servers and gateways may share one. Each connection has a
// Share, which may take one more call, or byte, only while it holds less than is free. So n connections that take all
// they can get are left with 1/(n+1) of the budget each, and as much is free for the next, but never much less than a
// sixteenth for those that ask for little. A Budget may be used by several goroutines at once.
type Budget struct {
	calls, maxCalls atomic.Int64
	bytes, maxBytes atomic.Int64
	spared          atomic.Int64 // of bytes: taken by connections that hold little while there were none left
	refused         atomic.Uint64
	nextRelief      atomic.Int64 // in nanoseconds since epoch

	epoch time.Time

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
	const what = "the host has no room for more calls (host.limits)"
	return code.Refuse(code.Unavailable, code.ReasonOverloaded, what, "", host, budgetRetryAfter)
}

// Short reports whether three quarters of the bytes are in use: what a peer holds up must end soon.
func (b *Budget) Short() bool { return b.bytes.Load() >= b.maxBytes.Load()/4*3 }

// NewShare makes the Share of a connection. The holder may be nil: then the connection is never cut for its answers. Close
// ends the Share.
func (b *Budget) NewShare(holder Holder) *Share {
	s := new(Share)
	s.open(b, holder)
	return s
}

// Share is what one connection holds of a Budget. It may be used by several goroutines at once.
type Share struct {
	budget       *Budget
	holder       Holder
	calls, bytes atomic.Int64
	spared       atomic.Int64 // of bytes
	proven       atomic.Bool  // a call of it has ended
	refusedAt    atomic.Int64 // in nanoseconds since the budget's epoch, when it was refused last; 0 for never
}

func (s *Share) open(b *Budget, holder Holder) {
	s.budget, s.holder = b, holder
	if holder == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.owners[s] = new(seen)
}

// Close says that the connection is gone. What its calls still hold is given back by them.
func (s *Share) Close() {
	if s.holder == nil {
		return
	}
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	delete(s.budget.owners, s)
}

// Budget returns the Budget that s is a share of.
func (s *Share) Budget() *Budget { return s.budget }

// Held returns how many calls and bytes the connection holds.
func (s *Share) Held() (calls, bytes int64) { return s.calls.Load(), s.bytes.Load() }

// TakeCall takes the place of a call, and reports whether there was one. GiveCall gives it back.
func (s *Share) TakeCall() bool {
	return s.take(&s.calls, &s.budget.calls, 1, s.budget.maxCalls.Load(), 1)
}

// GiveCall gives the place of a call that has ended back.
func (s *Share) GiveCall() {
	if !s.proven.Load() {
		s.proven.Store(true)
	}
	s.returnCall()
}

// returnCall gives the place of a call back that was not run.
func (s *Share) returnCall() {
	s.calls.Add(-1)
	s.budget.calls.Add(-1)
}

// TakeBytes takes n bytes, and reports whether they were there. Give gives them back.
func (s *Share) TakeBytes(n int64) bool {
	if s.take(&s.bytes, &s.budget.bytes, n, s.budget.maxBytes.Load(), firstBytes) || s.takeSpare(n) {
		return true
	}
	s.budget.relieve()
	return false
}

// takeSpare takes n bytes for a connection that holds little, though others have used up the budget: answers, which cannot
// be refused, may exceed it. Beyond the budget there is one last part for such connections.
func (s *Share) takeSpare(n int64) bool {
	little := int64(firstBytes)
	if !s.proven.Load() {
		little = firstCall
	}
	if s.bytes.Load()+n > little {
		return false
	}
	for {
		spared := s.budget.spared.Load()
		if spared+n > s.budget.maxBytes.Load()/lastPart {
			return false
		}
		if s.budget.spared.CompareAndSwap(spared, spared+n) {
			s.spared.Add(n)
			s.add(n)
			return true
		}
	}
}

func (s *Share) takeBytesSoon(n int64) bool {
	return s.TakeBytes(n) || soon(mostWait, func() bool { return s.TakeBytes(n) })
}

// Hold takes n bytes that cannot be refused any more, such as those of an answer. Give gives them back. It may cut other
// connections, and calls methods of their Holders.
func (s *Share) Hold(n int64) {
	s.add(n)
	s.budget.relieveIfFull()
}

// Give gives n bytes back.
func (s *Share) Give(n int64) {
	s.add(-n)
	for spared := s.spared.Load(); spared > 0; spared = s.spared.Load() {
		if back := min(spared, n); s.spared.CompareAndSwap(spared, spared-back) {
			s.budget.spared.Add(-back)
			return
		}
	}
}

func (s *Share) add(n int64) {
	s.bytes.Add(n)
	s.budget.bytes.Add(n)
}

// crowded reports whether the connection holds at least as many bytes as are free: then it gets no more of them.
func (s *Share) crowded() bool {
	held := s.bytes.Load()
	return held > 0 && held >= s.budget.maxBytes.Load()-s.budget.bytes.Load()
}

// take adds n to what is held, of a total that must not exceed most, if that leaves at least as much free as is held then.
// What is asked for when nothing at all is held is never too much: it could never be had. The last of what is free is for
// connections that have not asked for too much of late, and as much as first for those of which nothing is known yet: else
// a flood of new connections, of which each takes a little, would leave nothing to others.
func (s *Share) take(held, total *atomic.Int64, n, most, first int64) bool {
	for {
		all := total.Load()
		mine, left := held.Load()+n, most-all-n
		if (mine > left || left < most/lastPart && !s.modest(mine <= first)) && all != 0 {
			s.refusedAt.Store(int64(time.Since(s.budget.epoch)) | 1)
			return false
		}
		if total.CompareAndSwap(all, all+n) { // what is refused is never counted: it would refuse others for a moment
			held.Add(n)
			return true
		}
	}
}

// modest reports whether the connection may have of the last that is free.
func (s *Share) modest(little bool) bool {
	at := s.refusedAt.Load()
	if at != 0 && time.Since(s.budget.epoch)-time.Duration(at) < greedFor {
		return little && s.proven.Load()
	}
	return little || s.proven.Load()
}

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
	slices.SortFunc(slow, func(x, y slowPeer) int {
		if x.cost > y.cost {
			return -1
		}
		return 1
	})
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
