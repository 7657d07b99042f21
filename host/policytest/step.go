package policytest

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// step is a step of a case with its results.
type step struct {
	*config.TestStep
	to      destination
	absent  bool // the set does not have the method: its calls are not made
	peer    netip.Addr
	slots   chan struct{} // nil: any number of calls may be in flight
	reached atomic.Int64  // calls of the handler
	results []result      // by number of the call
}

func newStep(c *config.TestStep, to destination) *step {
	s := &step{TestStep: c, to: to, results: make([]result, c.Count)}
	s.peer, _ = netip.ParseAddr(c.Peer) // checked; without one it is the zero Addr
	if c.Concurrency != nil {
		s.slots = make(chan struct{}, *c.Concurrency)
	}
	return s
}

// call makes a call, and returns once its handler has returned.
func (s *step) call(ctx context.Context, in *scene, number int) {
	if s.slots != nil {
		s.slots <- struct{}{}
	}
	answer := func(r result) {
		s.results[number] = r
		if s.slots != nil {
			<-s.slots
		}
		in.answered.Done()
	}
	switch {
	case time.Now().Year() >= config.TestClockEnds:
		in.overran.Store(true)
		answer(result{})
	case s.absent:
		answer(result{code: code.Unimplemented})
	case s.to.upstream != nil:
		answer(sending{s}.result(ctx, in.rules))
	default:
		s.serve(ctx, in.rules.Guard(s.to.Target), answer)
	}
}

// serve handles a call like a host.
func (s *step) serve(ctx context.Context, guard *policies.Guard, answer func(result)) {
	call := &policies.Call{Caller: s.Caller, Claims: s.Identity, Peer: s.peer, Metadata: metadata(s.Metadata), Arrived: time.Now()}
	if s.Deadline > 0 {
		call.Deadline = call.Arrived.Add(s.Deadline.Std())
	}
	ticket := new(policies.Ticket)
	if err := guard.Enter(ctx, call, ticket); err != nil {
		answer(newResult(err, call.Shadowed()...))
		return
	}
	script, err := s.next(""), error(nil)
	if script.Error != "" {
		err = script.failure()
	}
	ends := time.Now().Add(script.Delay.Std())
	if at, ok := ticket.Deadline(); ok && at.Before(ends) {
		time.Sleep(time.Until(at))
		answer(newResult(ticket.Late(), call.Shadowed()...))
		if !script.RunsOn {
			ends, err = at, context.DeadlineExceeded
		}
		time.Sleep(time.Until(ends))
		ticket.Done(err)
		return
	}
	time.Sleep(time.Until(ends))
	ticket.Done(err)
	answer(newResult(err, append(call.Shadowed(), ticket.Shadowed()...)...))
}

// next returns the script for the next call that reaches the handler, at an endpoint of an upstream.
func (s *step) next(endpoint string) script {
	n := int(s.reached.Add(1))
	for i := range s.Handler {
		if sc := (script{s.Handler[i]}); sc.applies(n, endpoint) {
			return sc
		}
	}
	return script{}
}

// script is what a handler does with one call.
type script struct{ config.TestScript }

// applies reports whether the script is for the nth call that reaches the handler.
func (s script) applies(n int, endpoint string) bool {
	switch {
	case s.Endpoint != "" && s.Endpoint != endpoint:
		return false
	case s.First != nil:
		return n <= *s.First
	case s.Every != nil:
		return n%*s.Every == 0
	case s.Share != nil:
		share := float64(*s.Share)
		return int(float64(n)*share+1e-9) > int(float64(n-1)*share+1e-9)
	}
	return true
}

// failure returns the error of the handler.
func (s script) failure() *code.Error {
	c, _ := code.Parse(s.Error)
	return code.Errorf(c, "scripted").WithReason(s.Reason)
}

// metadata is the metadata of a call, as rules read it.
type metadata map[string]string

func (m metadata) Get(key string) string { return m[key] }
