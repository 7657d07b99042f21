package route

import (
	"context"
	"slices"
	"time"

	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/registry"
)

// Interceptor is an open interceptor of the manifest.
type Interceptor struct {
	Name        string
	BeforeRules bool
	Service     *registry.Service
	Calls       *RefCount
	Metrics     *telemetry.InterceptorMetrics
}

// run runs the interceptor around next, and counts and times it.
func (i *Interceptor) run(ctx context.Context, call *registry.Invocation, next registry.Next) error {
	began, below, called := time.Now(), time.Duration(0), false
	outcome := telemetry.InterceptorPanicked
	defer func() { i.Metrics.Done(outcome, time.Since(began)-below) }()
	err := i.Service.Intercept(ctx, call, func(ctx context.Context) error {
		called = true
		began := time.Now()
		defer func() { below += time.Since(began) }()
		return next(ctx)
	})
	switch {
	case isPanicOf(err, i.Name):
	case called:
		outcome = telemetry.InterceptorPassed
	case err != nil:
		outcome = telemetry.InterceptorRefused
	default:
		outcome = telemetry.InterceptorAnswered
	}
	return err
}

// isPanicOf reports whether err is the panic of an interceptor.
func isPanicOf(err error, name string) bool {
	p, ok := err.(*registry.PanicError) //nolint:errorlint // an interceptor may have wrapped the panic of a handler
	return ok && p.Interceptor == name
}

// Around is the interceptors around the calls of a service or to an upstream, in the order in which they run. A nil Around has
// none. It may be used concurrently.
type Around struct {
	Upstream string // name, of those around calls to an upstream

	all           []Interceptor
	before, after []Interceptor // its parts
}

// NewAround returns the interceptors of a list; nil if it is empty. upstream is the name of the upstream that they are for; empty for
// those of a service.
func NewAround(upstream string, list []Interceptor) *Around {
	if len(list) == 0 {
		return nil
	}
	before := slices.DeleteFunc(slices.Clone(list), func(i Interceptor) bool { return !i.BeforeRules })
	after := slices.DeleteFunc(slices.Clone(list), func(i Interceptor) bool { return i.BeforeRules })
	all := slices.Concat(before, after)
	return &Around{Upstream: upstream, all: all, before: all[:len(before)], after: all[len(before):]}
}

// All returns the interceptors in the order in which they run.
func (a *Around) All() []Interceptor {
	if a == nil {
		return nil
	}
	return a.all
}

// Names returns the names of the interceptors in the order in which they run.
func (a *Around) Names() []string {
	var names []string
	for _, i := range a.All() {
		name := i.Name
		if i.BeforeRules {
			name += " (before the rules)"
		}
		names = append(names, name)
	}
	return names
}

// Acquire admits a call. It returns false if an interceptor is retired; a newer generation then has its successor.
func (a *Around) Acquire() bool {
	if a == nil {
		return true
	}
	for n := range a.all {
		if !a.all[n].Calls.Acquire() {
			a.release(n)
			return false
		}
	}
	return true
}

// Release ends a call for which Acquire returned true.
func (a *Around) Release() {
	if a != nil {
		a.release(len(a.all))
	}
}

// release ends a call of the first n interceptors.
func (a *Around) release(n int) {
	for i := range n {
		a.all[i].Calls.Release()
	}
}

// HasBefore reports whether interceptors run before the rules.
func (a *Around) HasBefore() bool { return a != nil && len(a.before) > 0 }

// BeforeRules runs the interceptors that come before the rules, and last within them.
func (a *Around) BeforeRules(ctx context.Context, call *registry.Invocation, last registry.Next) error {
	return through(ctx, a.before, call, last)
}

// HasAfter reports whether interceptors run after the rules.
func (a *Around) HasAfter() bool { return a != nil && len(a.after) > 0 }

// AfterRules runs the interceptors that come after the rules, and last within them.
func (a *Around) AfterRules(ctx context.Context, call *registry.Invocation, last registry.Next) error {
	return through(ctx, a.after, call, last)
}

// Through runs all interceptors, and last within them.
func (a *Around) Through(ctx context.Context, call *registry.Invocation, last registry.Next) error {
	return a.BeforeRules(ctx, call, func(ctx context.Context) error { return a.AfterRules(ctx, call, last) })
}

func through(ctx context.Context, list []Interceptor, call *registry.Invocation, last registry.Next) error {
	if len(list) == 0 {
		return last(ctx)
	}
	return list[0].run(ctx, call, func(ctx context.Context) error { return through(ctx, list[1:], call, last) })
}
