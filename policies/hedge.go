package policies

import (
	"cmp"
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

// hedgeRule is what a rule says about calls that are slow.
type hedgeRule struct {
	delay       time.Duration
	maxAttempts int
	methods     []glob
	names       []string
}

func newHedgeRule(c *config.Hedge) *hedgeRule {
	return &hedgeRule{
		delay: max(c.Delay.Std(), 1), maxAttempts: cmp.Or(c.MaxAttempts, 2),
		methods: compileGlobs(c.Methods), names: c.Methods,
	}
}

func (r *hedgeRule) setting() string {
	return fmt.Sprintf("another attempt each %s without an answer, up to %d, for %s",
		config.Duration(r.delay), r.maxAttempts, listed(r.names))
}

// hedged makes an attempt, another one whenever the rule's delay passes without an answer or one fails, and takes what
// answers first. All of them have ended when it returns.
func (f *flight) hedged(ctx context.Context) (slot int, o outcome) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := f.hedge.rule.hedge
	landed := make(chan *attempt, r.maxAttempts)
	started, running := 0, 0
	start := func() {
		a := f.depart(started)
		started, running = started+1, running+1
		go a.land(ctx, landed)
	}
	more := func(failed bool) bool {
		return ctx.Err() == nil && started < r.maxAttempts && f.sent < f.most() && f.spendHedge(failed)
	}
	end := func() {
		cancel()
		for ; running > 0; running-- {
			<-landed
		}
	}
	start()
	timer := time.NewTimer(r.delay)
	defer timer.Stop()
	for {
		select {
		case a := <-landed:
			running--
			if a.panicked != nil {
				end()
				panic(a.panicked) //nolint:forbidigo // of the attempt: whoever called expects it here
			}
			f.land(a, a.outcome.err)
			last := a.outcome
			if !last.own || o.err == nil { // a refusal of our own does not hide that another attempt perhaps ran
				slot, o = a.slot, last
			}
			if !f.worthAnother(&last) && !last.own {
				end()
				return slot, o
			}
			if !last.own && more(true) {
				f.hedge.counts.allow.Add(1)
				start()
				timer.Reset(r.delay)
			}
			if running == 0 {
				return slot, o
			}
		case <-timer.C:
			if more(false) {
				f.hedge.counts.allow.Add(1)
				start()
				timer.Reset(r.delay)
			}
		}
	}
}

// land runs an attempt on a goroutine of its own, and tells of its end, however it ends: a panic is for the goroutine of
// the call, where somebody expects it.
func (a *attempt) land(ctx context.Context, landed chan<- *attempt) {
	a.outcome = outcome{err: code.Errorf(code.Internal, "an attempt has ended without an outcome")} // by runtime.Goexit
	defer func() {
		if r := recover(); r != nil {
			a.panicked = fmt.Errorf("a hedged attempt: %s\n%s", code.PanicText(r), debug.Stack())
		}
		landed <- a
	}()
	a.outcome = a.run(ctx)
}

// spendHedge takes an attempt out of the budget of the retry rule. Without one, those that are made since another has
// failed are out of a budget of the hedge's own: they are retries, which would double the load of a dead upstream.
func (f *flight) spendHedge(failed bool) bool {
	if f.retry != nil || !failed || f.hedge.budget.spend(usualBudget) {
		return f.retry == nil || f.spend()
	}
	f.hedge.counts.reject.Add(1)
	return false
}

// worthAnother tells whether an outcome is no answer that counts: a hedged call is idempotent.
func (f *flight) worthAnother(o *outcome) bool {
	switch {
	case o.err == nil:
		return false
	case f.retry != nil:
		return f.retry.rule.retry.wants(o, true)
	}
	return o.perTry || code.Of(o.err) == code.Unavailable
}

// most is the number of attempts of a call with both a hedge and a retry rule: the larger one.
func (f *flight) most() int {
	most := f.hedge.rule.hedge.maxAttempts
	if f.retry != nil {
		most = max(most, f.retry.rule.retry.maxAttempts)
	}
	return most
}

// softHedgeClock is the time, if a hedge that is not carried out asks for it.
func (f *flight) softHedgeClock() time.Time {
	if f.softHedge == [2]*entry{} {
		return time.Time{}
	}
	return time.Now()
}

// countSoftHedge counts a call that a hedge would have sent again that is not carried out.
func (f *flight) countSoftHedge(sent time.Time) {
	for _, e := range f.softHedge {
		if e != nil && f.idempotent && f.sent == 1 && time.Since(sent) >= e.rule.hedge.delay {
			e.counts.shadow.Add(1)
		}
	}
}
