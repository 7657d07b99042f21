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

	reserveDivisor = 16          // of a budget this fraction is a reserve for connections that hold little
	smallServed    = 64 << 10    // "little" in bytes for a connection on which a call has ended,
	smallNew       = 4 << 10     // and for a new one, when others have used up the budget
	greedyFor      = time.Second // for so long a refused connection gets no more than little of the reserve

	retryLimit = 100 * time.Millisecond
	retryStep  = 10 * time.Millisecond

	cacheLine = 64
)

// RetryBriefly calls try every 10 ms until it returns true, for at most 100 ms, and reports whether it did. It is for
// amounts that a Budget is short of for a moment.
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

// Budget bounds what all connections of a host hold together, whatever their protocol: calls that have been read and have
// not ended, and bytes that were read, decoded or encoded for them. Servers and gateways may share one. Each connection has
// a Share, which gets one more call, or byte, only while it holds less than is free. So n connections that take all they
// can get hold 1/(n+1) of the budget each, and the next one finds as much. A sixteenth is reserved for connections that
// hold little. A Budget may be used by several goroutines at once.
type Budget struct {
	// Every call of every connection writes to the first two and reads the limits: these have cache lines of their own.
	calls atomic.Int64
	_     [cacheLine - 8]byte
	bytes atomic.Int64
	_     [cacheLine - 8]byte

	maxCalls, maxBytes atomic.Int64
	epoch              time.Time
	_                  [cacheLine - 40]byte

	overdraft atomic.Int64 // bytes beyond maxBytes, taken by connections that hold little
	refused   atomic.Uint64
	partial   atomic.Int64 // Reservations that hold less than the answers of their methods need

	answers answerSizes
	growths growthQueue
	relief  relief
}

// BudgetUsage is what is in use of a Budget.
type BudgetUsage struct {
	InFlight, MaxInFlight           int64 // calls
	BufferedBytes, MaxBufferedBytes int64
	Refused                         uint64 // calls, since the Budget was made
}

// NewBudget returns a Budget. Values that are not positive mean the defaults.
func NewBudget(maxInFlight int, maxBufferedBytes int64) *Budget {
	b := &Budget{epoch: time.Now()}
	b.SetLimits(maxInFlight, maxBufferedBytes)
	b.answers.init()
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

// Refuse counts a call that is refused because the Budget is used up, and returns the error for its caller.
func (b *Budget) Refuse(host string) *code.Error {
	b.refused.Add(1)
	const what = "the host has no room for the call"
	e := code.Refuse(code.Unavailable, code.ReasonOverloaded, what, "", host, budgetRetryAfter)
	return e.WithAdvice("host.limits (maxInFlight, maxBufferedBytes) allows more")
}

// Short reports whether three quarters of the bytes are in use: memory that a peer holds up is then to be freed soon.
func (b *Budget) Short() bool { return b.excess() >= 0 }

// excess returns by how much the bytes in use exceed three quarters of the limit.
func (b *Budget) excess() int64 { return b.bytes.Load() - b.maxBytes.Load()/4*3 }

// relieve cuts connections whose peers take nothing, if the Budget is short of bytes. If it is not, the caller was refused
// for what its own connection holds.
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

// growthQueue orders half-read messages that are short of bytes, oldest first.
type growthQueue struct {
	mu      sync.Mutex
	tickets []uint64
	last    uint64 // ticket that was given
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

// Share is what one connection holds of a Budget. It may be used by several goroutines at once.
type Share struct {
	budget       *Budget
	progress     *holderProgress // nil without a Holder
	calls, bytes atomic.Int64
	overdraft    atomic.Int64 // bytes
	served       atomic.Bool  // a call has ended on the connection
	refusedAt    atomic.Int64 // time of the last refusal in nanoseconds since the budget's epoch; 0 for never

	answers reservations
}

// reservations is what the Reservations of a connection have in common.
type reservations struct {
	longest atomic.Int64  // estimate for all answers of the connection; 0 when they are short
	active  atomic.Int64  // answers under way
	line    chan struct{} // semaphore of the Reservation that waits; nil for a server's connection, which looks under its own lock

	// For the holder of line.
	stuckSince time.Time
	lookedAt   time.Time
}

// NewShare returns the Share of a connection, which Close ends. Without a holder the connection is never cut for its
// answers.
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

// Close is called when the connection is closed. Calls that have not ended give back what they hold.
func (s *Share) Close() {
	if s.progress != nil {
		s.budget.relief.forget(s.progress)
	}
}

// queued returns how many bytes are queued for the peer.
func (s *Share) queued() (bytes int64) {
	if s.progress != nil {
		bytes, _ = s.progress.Untaken()
	}
	return bytes
}

// Budget returns the Budget that s is a share of.
func (s *Share) Budget() *Budget { return s.budget }

// Held returns how many calls and bytes the connection holds.
func (s *Share) Held() (calls, bytes int64) { return s.calls.Load(), s.bytes.Load() }

// TakeCall adds a call, and reports whether there was room for it. GiveCall removes it.
func (s *Share) TakeCall() bool {
	return s.take(&s.calls, &s.budget.calls, 1, s.budget.maxCalls.Load(), 1)
}

// GiveCall removes a call that was run.
func (s *Share) GiveCall() {
	if !s.served.Load() {
		s.served.Store(true)
	}
	s.giveUnrunCall()
}

func (s *Share) giveUnrunCall() {
	s.calls.Add(-1)
	s.budget.calls.Add(-1)
}

// TakeBytes takes n bytes, and reports whether they were there. Give gives them back.
func (s *Share) TakeBytes(n int64) bool {
	if s.take(&s.bytes, &s.budget.bytes, n, s.budget.maxBytes.Load(), smallServed) || s.overdraw(n) {
		return true
	}
	s.budget.relieve()
	return false
}

// overdraw takes n bytes beyond the limit for a connection that holds little: others may have used up the budget with
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

// repay reduces the overdraft to what is still held, or to nothing when the budget has room again. Other bytes of the
// connection are given back first.
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

// Hold takes n bytes that cannot be refused any more, such as those of an answer. Give gives them back. It may cut other
// connections, and so calls methods of their Holders.
func (s *Share) Hold(n int64) {
	s.add(n)
	s.budget.relieveIfFull()
}

// Give gives n bytes back.
func (s *Share) Give(n int64) { s.add(-n) }

func (s *Share) add(n int64) {
	s.bytes.Add(n)
	s.budget.bytes.Add(n)
	if n < 0 && s.overdraft.Load() > 0 {
		s.repay()
	}
}

// exhausted reports whether the connection holds at least as many bytes as are free, and so gets no more.
func (s *Share) exhausted() bool {
	held := s.bytes.Load()
	return held > 0 && held >= s.budget.maxBytes.Load()-s.budget.bytes.Load()
}

// take adds n to held and to total, which must not exceed limit, if as much stays free as is held then. Two amounts are
// exempt, since nothing could ever satisfy them: any while total is 0, and up to the limit for the only call of the only
// connection. The last sixteenth is the reserve: only connections that were not refused of late get it, and new ones up to
// small. Otherwise many new connections that take a little each would leave nothing to others.
func (s *Share) take(held, total *atomic.Int64, n, limit, small int64) bool {
	if s.tryTake(held, total, n, limit, small) {
		return true
	}
	s.refusedAt.Store(int64(time.Since(s.budget.epoch)) | 1)
	return false
}

// tryTake is take for retries: a failure does not count as a refusal.
func (s *Share) tryTake(held, total *atomic.Int64, n, limit, small int64) bool {
	for {
		all := total.Load()
		mine, free := held.Load()+n, limit-all-n
		if (mine > free || free < limit/reserveDivisor && !s.mayUseReserve(mine <= small)) && all != 0 &&
			!s.isOnlyCall(held, all, mine, limit) {
			return false
		}
		if total.CompareAndSwap(all, all+n) { // not added first and taken back: other connections would be refused meanwhile
			held.Add(n)
			return true
		}
	}
}

// isOnlyCall reports whether bytes are taken for the only call of the connection while no other connection holds any.
func (s *Share) isOnlyCall(held *atomic.Int64, all, mine, limit int64) bool {
	return held == &s.bytes && held.Load() == all && mine <= limit && s.calls.Load() == 1
}

func (s *Share) mayUseReserve(small bool) bool {
	at := s.refusedAt.Load()
	if at != 0 && time.Since(s.budget.epoch)-time.Duration(at) < greedyFor {
		return small && s.served.Load()
	}
	return small || s.served.Load()
}
