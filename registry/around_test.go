package registry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

type audit struct {
	Level int `min:"1" max:"9"`
}

func interceptorOf(t *testing.T, fn func(context.Context, *Invocation, Next) error) *Service {
	t.Helper()
	r := New()
	Around("acme.audit", audit{Level: 1}, func(context.Context, audit, Env) (*Service, error) { return Intercept(fn), nil }, In(r))
	e, ok := r.Interceptor("acme.audit")
	if !ok || !e.IsInterceptor() || e.BeforeRules() || e.Package == "" {
		t.Fatalf("%+v, %v", e, ok)
	}
	s, err := e.Open(t.Context(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAnInterceptorRunsAroundACall(t *testing.T) {
	var ran []string
	s := interceptorOf(t, func(ctx context.Context, call *Invocation, next Next) error {
		ran = append(ran, "before "+call.Method)
		err := next(ctx)
		ran = append(ran, "after")
		return errors.Join(err, errNoPaper)
	})
	err := s.Intercept(t.Context(), &Invocation{Method: "Mul"}, func(context.Context) error {
		ran = append(ran, "handler")
		return nil
	})
	if !errors.Is(err, errNoPaper) || !slices.Equal(ran, []string{"before Mul", "handler", "after"}) {
		t.Errorf("%v, ran %v", err, ran)
	}
}

func TestAPanicOfAnInterceptorIsItsError(t *testing.T) {
	s := interceptorOf(t, func(context.Context, *Invocation, Next) error { panic("no ink") })
	err := s.Intercept(t.Context(), &Invocation{}, func(context.Context) error { return nil })
	p, ok := errors.AsType[*PanicError](err)
	if !ok || p.Interceptor != "acme.audit" || !strings.HasPrefix(p.Place, "around_test.go:") || p.Error() != "panic: no ink" {
		t.Errorf("%+v", err)
	}
}

func TestNextCannotRunOnceItsInterceptorHasReturned(t *testing.T) {
	began, end, late := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	var kept Next
	s := interceptorOf(t, func(ctx context.Context, _ *Invocation, next Next) error {
		kept = next
		go func() { late <- next(ctx) }()
		<-began
		close(end)
		return nil
	})
	done := false
	err := s.Intercept(t.Context(), &Invocation{}, func(context.Context) error {
		close(began)
		<-end
		done = true
		return nil
	})
	if err != nil || !done {
		t.Errorf("%v: returned while next was running", err)
	}
	if err := <-late; err != nil {
		t.Error(err)
	}
	if err := kept(t.Context()); !errors.Is(err, errNextTooLate) {
		t.Errorf("%v, want an error", err)
	}
}

func TestHandlersAndInterceptorsAreNotMistakenForEachOther(t *testing.T) {
	pass := func(ctx context.Context, _ *Invocation, next Next) error { return next(ctx) }
	for _, tc := range []struct {
		name string
		open func(context.Context, audit, Env) (*Service, error)
		kind func(name string, defaults audit, open func(context.Context, audit, Env) (*Service, error), opts ...Option)
		want string
	}{
		{"handler", func(context.Context, audit, Env) (*Service, error) { return Intercept(pass), nil }, Register[audit], "register interceptors with registry.Around"},
		{"interceptor", func(context.Context, audit, Env) (*Service, error) { return Receiver(api{}), nil }, Around[audit], "return registry.Intercept(fn)"},
		{"both", func(context.Context, audit, Env) (*Service, error) { return Intercept(pass).And(Receiver(api{})), nil }, Around[audit], "cannot have methods"},
		{"nil", func(context.Context, audit, Env) (*Service, error) { return Intercept(nil), nil }, Around[audit], "Intercept was given nil"},
	} {
		r := New()
		tc.kind(tc.name, audit{Level: 1}, tc.open, In(r))
		e := append(r.Entries(), r.Interceptors()...)[0]
		if _, err := e.Open(t.Context(), nil, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestAroundPanicsOnMistakes(t *testing.T) {
	open := func(context.Context, audit, Env) (*Service, error) { return nil, nil }
	for _, tc := range []struct {
		do   func(*Registry)
		want string
	}{
		{func(r *Registry) { Around[audit]("a", audit{}, nil, In(r)) }, `interceptor "a" has no open function`},
		{func(r *Registry) { Around("a b", audit{}, open, In(r)) }, `interceptor "a b", registered by`},
		{func(r *Registry) { Around("a", audit{}, open, In(r)); Around("a", audit{}, open, In(r)) }, `interceptor "a" is registered twice`},
		{func(r *Registry) { Around("a", audit{}, open, In(r), Uses("billing")) }, "are for handlers"},
		{func(r *Registry) { Around("a", audit{}, open, In(r), Reuse()) }, "are for handlers"},
		{func(r *Registry) { Register("a", audit{}, open, In(r), BeforeRules()) }, "is for interceptors"},
	} {
		if got := mustPanic(t, func() { tc.do(New()) }); !strings.Contains(got, tc.want) {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
	r := New()
	Register("a", audit{}, open, In(r))
	Around("a", audit{}, open, In(r)) // names of handlers are not taken for interceptors
}
