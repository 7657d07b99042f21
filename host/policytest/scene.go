package policytest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/discovery"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// scene runs a case under one set of rules, inside a bubble of synctest.
type scene struct {
	rules    *policies.Snapshot
	steps    []*step
	virtual  time.Duration
	met      map[string]uint64 // decisions by rule
	answered sync.WaitGroup
	ended    sync.WaitGroup // handlers may run on after the answer
	overran  atomic.Bool    // the clock has come to its end
	cpu      config.Share   // when the last call began
}

// result is the outcome of a call.
type result struct {
	code   code.Code
	rule   string // that refused it
	shadow []string
}

// newResult returns the result of a call that ends with err. would are refusals that were not enforced.
func newResult(err error, would ...policies.ShadowRefusal) result {
	var r result
	if e := code.From(err); e != nil {
		r.code = e.Code
		if e.Own() {
			r.rule = bare(e.Rule)
		}
	}
	for _, w := range would {
		r.shadow = append(r.shadow, bare(w.Rule))
	}
	return r
}

// bare returns a rule without its revision.
func bare(label string) string {
	name, _, _ := strings.Cut(label, "@")
	return name
}

// play makes the calls of a case under the rules.
func play(ctx context.Context, r *ruleset, c *config.TestCase, assume string, now time.Time) (*scene, error) {
	if !c.At.IsZero() {
		now = c.At
	}
	time.Sleep(time.Until(now)) // the clock of a bubble starts in the year 2000
	s := &scene{met: make(map[string]uint64)}
	o := r.options
	o.Revision, o.Pool = 1, new(client.Pool)
	o.CPU = func() policies.Load { return policies.Load{Utilization: float64(s.cpu), Cores: 1} }
	targets := slices.Clone(r.methods)
	var lookups []*client.Subscription
	defer func() {
		for _, l := range lookups {
			l.Close()
		}
	}()
	for i := range c.Calls {
		to, err := r.resolve(c.Calls[i].To)
		st := newStep(&c.Calls[i], to)
		st.absent = err != nil // of the older set
		s.steps = append(s.steps, st)
		if to.upstream != nil {
			l, err := subscribe(o.Pool, to)
			if err != nil {
				return nil, err
			}
			lookups = append(lookups, l)
		} else if err == nil && !slices.Contains(targets, to.Target) {
			targets = append(targets, to.Target)
		}
	}
	var err error
	if s.rules, err = policies.Compile(r.assuming(assume), targets, nil, o); err != nil {
		return nil, err
	}
	s.rules.Activate()
	began := time.Now()
	for i := 0; i < len(s.steps) && !s.overran.Load(); {
		next := i + 1
		for next < len(s.steps) && s.steps[next].Together {
			next++
		}
		s.group(ctx, s.steps[i:next])
		i = next
	}
	s.virtual = time.Since(began)
	s.ended.Wait()
	if s.overran.Load() {
		return nil, fmt.Errorf("its calls go on beyond the year %d, where the virtual clock ends", config.TestClockEnds)
	}
	s.rules.Decisions(func(rule string, _ config.Kind, _, _ string, n uint64) { s.met[rule] += n })
	return s, nil
}

// subscribe adds the endpoints of an upstream to a pool.
func subscribe(pool *client.Pool, to destination) (*client.Subscription, error) {
	resolver, err := discovery.Static(to.endpoints...)
	if err != nil {
		return nil, err
	}
	l := pool.Subscribe(client.Lookup{Resolver: resolver, Upstream: to.upstream.Name, Service: to.Service})
	synctest.Wait()
	return l, nil
}

// start is the start of a call, after that of its group.
type start struct {
	after  time.Duration
	step   *step
	number int
}

// group runs steps that begin together, and returns once all calls are answered. Calls that begin at the same time do so
// in the order of the steps, and after the calls that end at that time: every run has the same outcome.
func (s *scene) group(ctx context.Context, steps []*step) {
	var starts []start
	var until time.Duration
	for _, st := range steps {
		after, over := st.After.Std(), st.Over.Std()
		until = max(until, after+over)
		for i := range st.Count {
			starts = append(starts, start{after + time.Duration(float64(over)*float64(i)/float64(st.Count)), st, i})
		}
	}
	slices.SortStableFunc(starts, func(a, b start) int { return cmp.Compare(a.after, b.after) })
	began := time.Now()
	for _, call := range starts {
		time.Sleep(call.after - time.Since(began))
		synctest.Wait()
		s.cpu = call.step.CPU // no other goroutine of the bubble runs
		s.answered.Add(1)
		s.ended.Go(func() { call.step.call(ctx, s, call.number) })
	}
	time.Sleep(until - time.Since(began))
	s.answered.Wait()
}

// tally counts the results of all steps.
func (s *scene) tally() Tally {
	t := newTally()
	for _, st := range s.steps {
		t.count(st.results)
	}
	return t
}
