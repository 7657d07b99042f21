package policies

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/code"
)

// reservation decides on all tokens and permits of one call together. From lockLimits to commit or cancel it holds the locks
// of the limits, so that calls are decided one after the other: a refused call takes nothing, not even for a moment. A rule
// in shadow never refuses a call.
type reservation struct {
	limits  claims[tokenClaim]
	permits claims[permitClaim]
	sole    bool // the only permit was taken without a lock

	limited tokenClaim // refuses the call, if it has an entry
	full    *entry     // likewise
	delay   time.Duration
	waited  bool // for tokens: those are spent
	queued  bool // for permits
	made    bool // the call, to an upstream
	failed  bool // the call that was made
}

// claims is a list that allocates only when it is long.
type claims[T any] struct {
	few  [4]T
	more []T
	n    int
}

// add adds an empty claim, and returns it.
func (c *claims[T]) add() *T {
	if c.n >= len(c.few) {
		c.more = append(c.more, *new(T))
	}
	c.n++
	return c.at(c.n - 1)
}

func (c *claims[T]) at(i int) *T {
	if i < len(c.few) {
		return &c.few[i]
	}
	return &c.more[i-len(c.few)]
}

// reserve evaluates the limits, and keeps them locked while the caller asks the breakers: a call that one refuses takes nothing from
// the others. The concurrency limits are locked before the breakers are asked, so that these admit, and count as probes, only
// calls that have room. Where both refuse a call, cancel reports the breaker, which is first in the order of evaluation. breaker is
// the one that may be enforced; nil: none. With join, a closed breaker, which refuses no call, is asked without the locks: then reserve
// has taken the tokens and permits, and returns true.
func (v *reservation) reserve(ctx context.Context, p *plan, c *Call, k *clock, now time.Time, breaker *entry, join bool) (closed bool, err error) {
	v.lockLimits(p, c, k, now)
	if v.limited.entry == nil && v.delay > 0 { // it has to wait for a token before the other kinds are evaluated
		if err := v.waitForToken(ctx, c, openBreakerOf(breaker, c)); err != nil {
			return false, err
		}
	}
	closed = join && (breaker == nil || breaker.breaker.IsClosed())
	v.lockPermits(p, c, now, closed)
	if v.limited.entry != nil || v.full != nil {
		return closed, v.cancel(c, openBreakerOf(breaker, c))
	}
	if closed {
		v.commit(c)
	}
	return closed, nil
}

// conclude ends what reserve has begun, for a call that the breakers admit, or refuse with err.
func (v *reservation) conclude(c *Call, closed bool, err error) {
	switch {
	case err != nil:
		v.unlock(c)
	case !closed:
		v.commit(c)
	}
}

// lockLimits resets v, locks the rate limits and decides on their tokens.
func (v *reservation) lockLimits(p *plan, c *Call, k *clock, now time.Time) {
	v.limits.n, v.limits.more = 0, nil
	v.permits.n, v.permits.more = 0, nil
	v.limited.entry, v.full = nil, nil
	v.delay, v.waited, v.queued, v.sole, v.made, v.failed = 0, false, false, false, false, false
	if len(p.rateLimit) == 0 {
		return
	}
	at := now // the same for all buckets of the call
	if at.IsZero() {
		at = time.Now()
	}
	var few [128]byte
	keys := few[:0]
	for _, e := range p.rateLimit { // methods of the call run before anything is locked
		if e.applies(c, now) {
			keys = e.rule.key.appendTo(keys, c)
			*v.limits.add() = tokenClaim{entry: e, key: len(keys), enforced: e.rule.enforcedFor(c)}
		}
	}
	begin := 0
	for i := range v.limits.n {
		l := v.limits.at(i)
		c.asked = l.entry
		l.entry.rule.limiter.Lock()
		l.locked = true
		l.entry.health.Meet(limit.AtAsk)
		l.decide(keys[begin:l.key], k, at)
		begin = l.key
		switch {
		case !l.enforced:
		case !l.granted && l.before(&v.limited):
			v.limited = *l
		case l.granted:
			v.delay = max(v.delay, l.wait)
		}
	}
}

// waitForToken takes the tokens, for good, releases the locks and waits. A breaker that stays open for longer refuses the call
// before.
func (v *reservation) waitForToken(ctx context.Context, c *Call, open *openBreaker) error {
	if open != nil && open.left > v.delay {
		return v.cancel(c, open)
	}
	var longest *entry
	for i := range v.limits.n {
		l := v.limits.at(i)
		l.charge(c)
		if l.enforced && l.wait == v.delay {
			longest = l.entry
		}
	}
	v.unlock(c)
	v.waited = true
	if err := limit.Sleep(ctx, v.delay); err != nil {
		return longest.rule.RefuseEnded(ctx, "waiting for a token")
	}
	return nil
}

// lockPermits locks the concurrency limits and looks for a permit of each. If the call needs only one, and nothing else refuses
// it since the breakers are closed, the permit is taken without the lock.
func (v *reservation) lockPermits(p *plan, c *Call, now time.Time, closed bool) {
	for _, e := range p.concurrency {
		if e.applies(c, now) {
			*v.permits.add() = permitClaim{entry: e, enforced: e.rule.enforcedFor(c)}
		}
	}
	if first := v.permits.at(0); v.permits.n == 1 && first.enforced && closed && v.limited.entry == nil {
		c.asked = first.entry
		c.asked.health.Meet(limit.AtAsk)
		if v.sole = first.entry.rule.semaphore.TryAcquire(); v.sole {
			return
		}
	}
	for i := range v.permits.n {
		claim := v.permits.at(i)
		e := claim.entry
		c.asked = e
		e.rule.semaphore.Lock()
		claim.locked = true
		e.health.Meet(limit.AtAsk)
		claim.state = e.rule.semaphore.Room(c.priority)
		if claim.enforced && claim.state == limit.RoomNone && (v.full == nil || compareRanks(e.rank, v.full.rank) < 0) {
			v.full = e
		}
	}
}

// cancel releases the locks and returns the refusal. open is the breaker that refuses the call, if one does. Limits in
// shadow are charged for a call that no other kind of rule refuses.
func (v *reservation) cancel(c *Call, open *openBreaker) error {
	for i := range v.limits.n {
		l := v.limits.at(i)
		c.asked = l.entry
		switch {
		case v.waited:
		case l.enforced && !l.granted:
			l.entry.counts.Reject.Add(1)
		case !l.enforced && v.limited.entry != nil && v.full == nil && open == nil:
			l.charge(c)
		}
	}
	v.unlock(c)
	switch {
	case v.limited.entry != nil:
		return v.limited.refuse(c)
	case open != nil:
		open.entry.counts.Reject.Add(1)
		return open.entry.rule.RefuseOpen(open.entry.breaker, "", open.left)
	}
	for i := range v.permits.n {
		if p := v.permits.at(i); p.enforced && p.state == limit.RoomNone {
			p.entry.counts.Reject.Add(1)
		}
	}
	return noPermit(v.full.rule, queueFull)
}

// commit takes the tokens and permits, and releases the locks.
func (v *reservation) commit(call *Call) {
	for i := range v.limits.n {
		if l := v.limits.at(i); !v.waited {
			call.asked = l.entry
			l.charge(call)
		}
	}
	for i := range v.permits.n {
		c := v.permits.at(i)
		call.asked = c.entry
		semaphore := c.entry.rule.semaphore
		switch {
		case !c.enforced:
			if semaphore.Force() {
				c.entry.countRefusal(call, false, config.KindConcurrency, code.Unavailable, code.ReasonOverloaded)
			} else {
				c.entry.counts.Allow.Add(1)
			}
		case c.state == limit.RoomFree:
			if !v.sole {
				semaphore.Acquire()
			}
			c.entry.counts.Allow.Add(1)
		default:
			c.waiter, v.queued = semaphore.Enqueue(call.priority), true
			continue
		}
		c.hold()
	}
	v.unlock(call)
}

// waitInQueues waits in the queues of the concurrency limits without a free permit: in all at the same time, so that their order
// does not matter.
func (v *reservation) waitInQueues(ctx context.Context, call *Call, k *clock) (err error) {
	if !v.queued {
		return nil
	}
	started := time.Now()
	// Shortest timeout first, so that no wait exceeds the one of its rule.
	waiting := make([]int, 0, 4) // indices: pointers would keep the ticket on the heap
	for i := range v.permits.n {
		if v.permits.at(i).waiter != nil {
			waiting = append(waiting, i)
		}
	}
	timeout := func(i int) time.Duration { return v.permits.at(i).entry.rule.queueTimeout }
	slices.SortFunc(waiting, func(i, j int) int { return cmp.Compare(timeout(i), timeout(j)) })
	for _, i := range waiting {
		c := v.permits.at(i)
		r, waiter := c.entry.rule, c.waiter
		call.asked, c.waiter = c.entry, nil
		if err != nil {
			r.semaphore.Leave(waiter)
			continue
		}
		switch r.semaphore.Wait(ctx, waiter, min(r.queueTimeout-time.Since(started), k.deadline.Left())) {
		case limit.Acquired:
			c.entry.counts.Wait.Add(1)
			c.hold()
		case limit.WaitTimedOut:
			if k.deadline.Left() > 0 {
				c.entry.counts.Reject.Add(1)
				err = noPermit(r, "queue timeout")
				break
			}
			k.waited = c.entry
			if k.deadline.ByRule {
				call.asked = k.timeout
				k.countTimeout(true)
			}
			err = k.overdue()
		case limit.Displaced:
			c.entry.counts.Reject.Add(1)
			err = noPermit(r, queueFull+", and a call of higher priority took the place of this one")
		case limit.CallEnded:
			err = r.RefuseEnded(ctx, "queued behind a concurrency limit of "+strconv.Itoa(r.semaphore.Max()))
		}
	}
	return err
}

// release returns the permits, each once. It sets at to the entry whose permit is being returned.
func (v *reservation) release(at **entry) {
	for v.permits.n > 0 {
		v.permits.n--
		if c := v.permits.at(v.permits.n); c.held {
			*at = c.entry
			c.release(v.failed)
			c.entry.health.Meet(limit.AtDone)
		}
	}
}

// refund returns the tokens of a call that was refused after all, before it waited and before anything was sent.
func (v *reservation) refund() {
	if v.waited || v.queued {
		return
	}
	v.giveBack()
}

func (v *reservation) giveBack() {
	for i := range v.limits.n {
		if l := v.limits.at(i); l.taken {
			l.taken = false
			l.entry.health.Conclude(func() { l.entry.rule.limiter.GiveBack(l.bucket) })
		}
	}
}

// drop gives back all that is held, in whatever state a panic has left it.
func (v *reservation) drop() {
	for i := range v.limits.n {
		if l := v.limits.at(i); l.locked {
			l.locked = false
			l.entry.rule.limiter.Unlock()
		}
	}
	v.giveBack()
	v.leave()
}

// leave is release, but contains panics of the rules and gives up their queues, too.
func (v *reservation) leave() {
	for i := range v.permits.n {
		p := v.permits.at(i)
		p.entry.health.Conclude(func() { p.leave(v.sole, v.made, v.failed) })
	}
	v.limits.n, v.permits.n = 0, 0
}

// unlock releases all locks, and delivers the events of the limiters.
func (v *reservation) unlock(c *Call) {
	for i := range v.permits.n {
		if p := v.permits.at(i); p.locked {
			p.locked = false
			p.entry.rule.semaphore.Unlock()
		}
	}
	if v.waited {
		return
	}
	for i := range v.limits.n {
		l := v.limits.at(i)
		l.locked = false
		l.entry.rule.limiter.Unlock()
	}
	for i := range v.limits.n {
		c.asked = v.limits.at(i).entry
		c.asked.rule.limiter.Notify()
	}
}

const queueFull = "queue full"

// noPermit returns the error of a concurrency limit. why says what happened in its queue, if it has one. The retry delay guesses
// when the queue will have moved.
func noPermit(r *rule, why string) error {
	what := "concurrency limit of " + strconv.Itoa(r.semaphore.Max()) + " reached"
	if r.adaptive != nil {
		what = "adaptive " + what
	}
	if r.queue > 0 || why != queueFull {
		what += " (" + why + ")"
	}
	what += adaptiveState(r.adaptive, ": ")
	return r.Refuse(code.Unavailable, code.ReasonOverloaded, what, 100*time.Millisecond)
}
