package wire

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Defaults of a Budget.
const (
	DefaultMaxInFlight      = 20_000
	DefaultMaxBufferedBytes = 1 << 30
)

const (
	budgetRetryAfter = 100 * time.Millisecond // advised to callers that a budget refuses

	reserveDivisor = 16          // 1/16 of a budget is reserved for connections that hold little
	smallServed    = 64 << 10    // bytes: "little" for a connection on which a call has ended
	smallNew       = 4 << 10     // and for a new one when others have used up the budget
	greedyFor      = time.Second // time after a refusal of more, in which a connection gets only little of the reserve

	freeDivisor = 4       // arguments that are not counted take at most a quarter of a budget,
	minFree     = 4 << 10 // or this for each call

	retryLimit = 100 * time.Millisecond
	retryStep  = 10 * time.Millisecond

	cacheLine = 64
)

// RetryBriefly calls try every 10 ms, for at most 100 ms, until it returns true, and reports whether it did. Use it when a
// Budget may be short for a moment only.
func RetryBriefly(try func() bool) bool { return retryFor(retryLimit, try) }

func retryFor(limit time.Duration, try func() bool) bool {
	for ; limit > 0; limit -= retryStep {
		time.Sleep(retryStep)
		if try() {
			return true
		}
	}
	return false
}

// Budget limits what all connections of a host hold together, whatever their protocol: calls that have been read and have
// not ended, and the bytes that were read, decoded or encoded for them. Servers and gateways may share one. Each connection
// has a Share, which is granted another call or byte only while it holds less than is free: n connections that take all they
// can hold 1/(n+1) of the budget each, and as much is left for the next one. A sixteenth is reserved for connections that
// hold little. A Budget is safe for concurrent use.
type Budget struct {
	// Every call writes the first two fields and reads the limits, so each has a cache line of its own.
	calls atomic.Int64
	_     [cacheLine - 8]byte
	bytes atomic.Int64
	_     [cacheLine - 8]byte

	maxCalls, maxBytes atomic.Int64
	free               atomic.Int64 // bytes that decoding the argument of a call may take without being counted
	epoch              time.Time
	_                  [cacheLine - 48]byte

	overdraft atomic.Int64 // bytes beyond maxBytes, held by connections that hold little
	refused   atomic.Uint64
	partial   atomic.Int64 // Reservations that hold less than the answers of their methods need

	answers answerSizes
	growths growthQueue
	relief  relief
}

// BudgetUsage is the usage of a Budget.
type BudgetUsage struct {
	InFlight, MaxInFlight           int64 // calls
	BufferedBytes, MaxBufferedBytes int64
	Refused                         uint64 // calls since the Budget was created
}

// NewBudget returns a Budget. A limit that is not positive means its default.
func NewBudget(maxInFlight int, maxBufferedBytes int64) *Budget {
	b := &Budget{epoch: time.Now()}
	b.SetLimits(maxInFlight, maxBufferedBytes)
	b.answers.init()
	return b
}

// SetLimits changes the limits at once. What is already held beyond them stays held. A limit that is not positive means its
// default.
func (b *Budget) SetLimits(maxInFlight int, maxBufferedBytes int64) {
	orDefault(&maxInFlight, DefaultMaxInFlight)
	if maxBufferedBytes <= 0 {
		maxBufferedBytes = DefaultMaxBufferedBytes
	}
	b.maxCalls.Store(int64(maxInFlight))
	b.maxBytes.Store(maxBufferedBytes)
	b.free.Store(max(minFree, maxBufferedBytes/int64(maxInFlight)/freeDivisor))
}

// Usage returns the current usage.
func (b *Budget) Usage() BudgetUsage {
	return BudgetUsage{
		InFlight: b.calls.Load(), MaxInFlight: b.maxCalls.Load(),
		BufferedBytes: b.bytes.Load(), MaxBufferedBytes: b.maxBytes.Load(),
		Refused: b.refused.Load(),
	}
}

// Refuse counts a call that is refused because the Budget is used up, and returns the error for its caller.
func (b *Budget) Refuse(host string) *code.Error {
	b.refused.Add(1)
	const what = "the host has no room for the call"
	e := code.Refuse(code.Unavailable, code.ReasonOverloaded, what, "", host, budgetRetryAfter)
	return e.WithAdvice("raise host.limits.maxInFlight or maxBufferedBytes")
}

// Short reports whether three quarters of the bytes are in use, so that memory held by stalled peers should be freed.
func (b *Budget) Short() bool { return b.excess() >= 0 }

// excess returns the bytes in use minus three quarters of the limit.
func (b *Budget) excess() int64 { return b.bytes.Load() - b.maxBytes.Load()/4*3 }

// relieve closes connections whose peers read nothing, if the Budget is short of bytes. If it is not, the caller was refused
// because of what its own connection holds.
func (b *Budget) relieve() {
	if b.Short() {
		b.relief.run(b.epoch, b.excess())
	}
}

func (b *Budget) relieveIfFull() {
	if b.bytes.Load() > b.maxBytes.Load() {
		b.relieve()
	}
}

// growthQueue orders half-read messages that wait for bytes, oldest first.
type growthQueue struct {
	mu      sync.Mutex
	tickets []uint64
	last    uint64 // last ticket issued
}

func (q *growthQueue) join() (ticket uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.last++
	q.tickets = append(q.tickets, q.last)
	return q.last
}

func (q *growthQueue) isFirst(ticket uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.tickets[0] == ticket
}

func (q *growthQueue) leave(ticket uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i, ok := slices.BinarySearch(q.tickets, ticket); ok {
		q.tickets = slices.Delete(q.tickets, i, i+1)
	}
}

// Share is one connection's part of a Budget. It is safe for concurrent use.
type Share struct {
	budget       *Budget
	progress     *holderProgress // nil without a Holder
	calls, bytes atomic.Int64
	overdraft    atomic.Int64 // bytes
	served       atomic.Bool  // a call has ended on the connection
	refusedAt    atomic.Int64 // last refusal of more than little, in nanoseconds since the budget's epoch; 0: never

	answers reservations
}

// reservations is the state that the Reservations of a connection share.
type reservations struct {
	longest atomic.Int64  // estimate for all answers of the connection; 0 when they are short
	active  atomic.Int64  // answers in progress
	line    chan struct{} // held by the Reservation that waits; nil for a server's connection, which checks under its own lock

	// Guarded by line.
	stuckSince time.Time
	lookedAt   time.Time
}

// NewShare returns the Share of a connection. The caller must Close it. With a nil holder the connection is never closed to
// free the memory of its answers.
func (b *Budget) NewShare(holder Holder) *Share {
	s := new(Share)
	s.open(b, holder)
	s.answers.line = make(chan struct{}, 1)
	return s
}

func (s *Share) open(b *Budget, holder Holder) {
	s.budget = b
	if holder != nil {
		s.progress = b.relief.watch(holder)
	}
}

// Close must be called when the connection is closed. Calls that have not ended still release what they hold.
func (s *Share) Close() {
	if s.progress != nil {
		s.budget.relief.forget(s.progress)
	}
}

// queued returns how many bytes are queued for the peer.
func (s *Share) queued() (bytes int64) {
	if s.progress != nil {
		bytes, _ = s.progress.Progress()
	}
	return bytes
}

// Budget returns the Budget of s.
func (s *Share) Budget() *Budget { return s.budget }

// Held returns how many calls and bytes the connection holds.
func (s *Share) Held() (calls, bytes int64) { return s.calls.Load(), s.bytes.Load() }

// AcquireCall adds a call if the Budget allows it, and reports whether it did. ReleaseCall removes it.
func (s *Share) AcquireCall() bool {
	return s.take(&s.calls, &s.budget.calls, 1, s.budget.maxCalls.Load(), 1)
}

// ReleaseCall removes a call that has run.
func (s *Share) ReleaseCall() {
	if !s.served.Load() {
		s.served.Store(true)
	}
	s.releaseUnrunCall()
}

func (s *Share) releaseUnrunCall() {
	s.calls.Add(-1)
	s.budget.calls.Add(-1)
}

// AcquireBytes takes n bytes if the Budget allows it, and reports whether it did. ReleaseBytes returns them.
func (s *Share) AcquireBytes(n int64) bool {
	if s.take(&s.bytes, &s.budget.bytes, n, s.budget.maxBytes.Load(), smallServed) || s.overdraw(n) {
		return true
	}
	s.budget.relieve()
	return false
}

// overdraw takes n bytes beyond the limit for a connection that holds little, since others may have used up the budget with
// answers, which cannot be refused. All overdrafts together are at most a sixteenth of the budget.
func (s *Share) overdraw(n int64) bool {
	small := int64(smallServed)
	if !s.served.Load() {
		small = smallNew
	}
	if s.bytes.Load()+n > small {
		return false
	}
	for {
		overdraft := s.budget.overdraft.Load()
		if overdraft+n > s.budget.maxBytes.Load()/reserveDivisor {
			return false
		}
		if s.budget.overdraft.CompareAndSwap(overdraft, overdraft+n) {
			s.add(n)
			s.overdraft.Add(n)
			return true
		}
	}
}

// repay reduces the overdraft to what is still held, or to 0 once the budget has room again. Other bytes of the connection
// are returned first.
func (s *Share) repay() {
	for {
		overdraft, keep := s.overdraft.Load(), int64(0)
		if limit := s.budget.maxBytes.Load(); s.budget.bytes.Load() > limit-limit/reserveDivisor {
			keep = min(overdraft, s.bytes.Load())
		}
		if overdraft == keep {
			return
		}
		if s.overdraft.CompareAndSwap(overdraft, keep) {
			s.budget.overdraft.Add(keep - overdraft)
			return
		}
	}
}

// AddBytes takes n bytes that can no longer be refused, such as those of an answer. ReleaseBytes returns them. AddBytes may
// close other connections by calling their Holders.
func (s *Share) AddBytes(n int64) {
	s.add(n)
	s.budget.relieveIfFull()
}

// ReleaseBytes returns n bytes.
func (s *Share) ReleaseBytes(n int64) { s.add(-n) }

func (s *Share) add(n int64) {
	s.bytes.Add(n)
	s.budget.bytes.Add(n)
	if n < 0 && s.overdraft.Load() > 0 {
		s.repay()
	}
}

// exhausted reports whether the connection holds at least as many bytes as are free, so that it is granted no more.
func (s *Share) exhausted() bool {
	held := s.bytes.Load()
	return held > 0 && held >= s.budget.maxBytes.Load()-s.budget.bytes.Load()
}

// take adds n to held and to total if total stays within limit and at least as much as is then held stays free. Two cases
// are exempt, since they could never be granted otherwise: any n while total is 0, and up to limit for the only call of the
// only connection. The last sixteenth is the reserve; see mayUseReserve.
func (s *Share) take(held, total *atomic.Int64, n, limit, small int64) bool {
	if s.tryTake(held, total, n, limit, small) {
		return true
	}
	if held.Load()+n > small {
		s.refusedAt.Store(int64(time.Since(s.budget.epoch)) | 1)
	}
	return false
}

// tryTake is like take, but a failure does not count as a refusal. It is for retries.
func (s *Share) tryTake(held, total *atomic.Int64, n, limit, small int64) bool {
	for {
		all := total.Load()
		mine, free := held.Load()+n, limit-all-n
		last := held == &s.calls && free < limit/reserveDivisor/2
		if last {
			small = max(1, free/8) // as much is left for as many others
		}
		if (mine > free || free < limit/reserveDivisor && !s.mayUseReserve(mine <= small, last)) && all != 0 &&
			!s.isOnlyCall(held, all, mine, limit) {
			return false
		}
		if total.CompareAndSwap(all, all+n) { // adding first and undoing it would get other connections refused meanwhile
			held.Add(n)
			return true
		}
	}
}

// isOnlyCall reports whether the bytes are for the connection's only call while no other connection holds any.
func (s *Share) isOnlyCall(held *atomic.Int64, all, mine, limit int64) bool {
	return held == &s.bytes && held.Load() == all && mine <= limit && s.calls.Load() == 1
}

// mayUseReserve reports whether the connection may use the reserve, where small is set if it then holds little. A new
// connection may if that is all it holds, one that was refused more recently if a call has ended on it as well. The last
// calls are for neither of these, since many that hold one each would leave nothing for others.
func (s *Share) mayUseReserve(small, last bool) bool {
	at, served := s.refusedAt.Load(), s.served.Load()
	greedy := at != 0 && time.Since(s.budget.epoch)-time.Duration(at) < greedyFor
	switch {
	case last:
		return small && served && !greedy
	case greedy:
		return small && served
	}
	return small || served
}
