package registry

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

type moody struct{}

func (moody) Panic(context.Context, *pair, *sum) error { panic("out of paper") }

func (moody) Nil(_ context.Context, _ *pair, reply *sum) error {
	var p *pair
	reply.C = p.A //nolint:govet // the dereference is the point
	return nil
}

func (moody) Error(context.Context, *pair, *sum) error { panic(errors.New("an error value")) }

func (moody) PanicNil(context.Context, *pair, *sum) error { panic(nil) } //nolint:govet // it becomes a PanicNilError

func (moody) Exit(context.Context, *pair, *sum) error {
	runtime.Goexit()
	return nil
}

func method(t *testing.T, s *Service, name string) *Method {
	t.Helper()
	if s.err != nil {
		t.Fatal(s.err)
	}
	for _, m := range s.Methods() {
		if m.Name == name {
			return m
		}
	}
	t.Fatalf("no method %s in %v", name, names(s.Methods()))
	return nil
}

func TestAPanicIsAnErrorWithItsStack(t *testing.T) {
	typed := Unary("Typed", func(context.Context, *pair) (*sum, error) { panic("out of paper") })
	service := Receiver(moody{}).And(typed)
	for name, want := range map[string]string{
		"Panic":    "panic: out of paper",
		"Typed":    "panic: out of paper",
		"Nil":      "nil pointer dereference",
		"Error":    "panic: an error value",
		"PanicNil": "PanicNilError",
	} {
		res, err := method(t, service, name).Call(t.Context(), &pair{}, nil)
		var p *PanicError
		if !errors.As(err, &p) || !strings.Contains(err.Error(), want) && !strings.Contains(reflect.TypeOf(p.Value).String(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
			continue
		}
		if res != nil {
			t.Errorf("%s: a reply %v besides the panic", name, res)
		}
		if !bytes.Contains(p.Stack, []byte("method_test.go")) {
			t.Errorf("%s: the stack does not show the handler:\n%s", name, p.Stack)
		}
	}
}

func TestGoexitEndsTheGoroutineAndNotifiesTheCall(t *testing.T) {
	m := method(t, Receiver(moody{}), "Exit")
	notified, returned, ended := make(chan *PanicError, 1), false, make(chan struct{})
	go func() {
		defer close(ended)
		call := &Call{Goexit: func(e *PanicError) { notified <- e }}
		ctx, cancel := context.WithCancel(WithCall(context.Background(), call))
		defer cancel()
		_, _ = m.Call(ctx, &pair{}, nil)
		returned = true
	}()
	<-ended
	if returned {
		t.Error("Call returned: Goexit was stopped")
	}
	e := <-notified
	if e.Value != nil || e.Error() != "runtime.Goexit called" || !bytes.Contains(e.Stack, []byte("moody.Exit")) {
		t.Errorf("reported %v\n%s", e, e.Stack)
	}
}

func TestGoexitWithoutACallIsHarmless(t *testing.T) {
	m := method(t, Receiver(moody{}), "Exit")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = m.Call(context.Background(), &pair{}, nil)
	}()
	<-ended
}

func TestArgumentsOfAnotherTypeNeverReachTheMethod(t *testing.T) {
	called := false
	typed := Unary("Typed", func(context.Context, *pair) (*sum, error) { called = true; return nil, nil })
	for name, service := range map[string]*Service{"Add": Receiver(&adder{}), "Typed": typed} {
		for _, args := range []any{nil, pair{}, &sum{}, 3, (*error)(nil)} {
			_, err := method(t, service, name).Call(t.Context(), args, nil)
			if err == nil || !strings.Contains(err.Error(), "want a *registry.pair") {
				t.Errorf("%s(%T): %v", name, args, err)
			}
		}
	}
	if called {
		t.Error("the function was called")
	}
	if _, err := method(t, Receiver(&adder{}), "Add").Call(t.Context(), &pair{}, &pair{}); err == nil {
		t.Error("a reply of another type was accepted")
	}
}

func TestAReplyIsMadeUnlessGiven(t *testing.T) {
	m := method(t, Receiver(&adder{bias: 1}), "Add")
	got, err := m.Call(t.Context(), &pair{1, 2}, nil)
	if err != nil || got.(*sum).C != 4 {
		t.Errorf("%v, %v", got, err)
	}
	own := m.NewReply()
	got, err = m.Call(t.Context(), &pair{1, 2}, own)
	if err != nil || got != own || own.(*sum).C != 4 {
		t.Errorf("%v, %v, want the reply that was given", got, err)
	}
}

func TestATypedFunctionServesItsResult(t *testing.T) {
	service := Unary("Add", func(_ context.Context, p *pair) (*sum, error) { return &sum{p.A + p.B}, nil }).
		And(Unary("Nothing", func(context.Context, *pair) (*sum, error) { return nil, nil }),
			Unary("Fail", func(context.Context, *pair) (*sum, error) { return &sum{7}, errAsked }))
	if got, err := method(t, service, "Add").Call(t.Context(), &pair{1, 2}, nil); err != nil || got.(*sum).C != 3 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := method(t, service, "Nothing").Call(t.Context(), &pair{}, nil); err != nil || got.(*sum) == nil {
		t.Errorf("%v, %v, want a zero reply for a nil result", got, err)
	}
	if got, err := method(t, service, "Fail").Call(t.Context(), &pair{}, nil); !errors.Is(err, errAsked) || got.(*sum).C != 7 {
		t.Errorf("%v, %v, want the error and what came with it", got, err)
	}
	m := method(t, service, "Add")
	if _, ok := m.NewArgs().(*pair); !ok || m.Args != reflect.TypeFor[pair]() || m.Reply != reflect.TypeFor[sum]() {
		t.Errorf("%T, %v, %v", m.NewArgs(), m.Args, m.Reply)
	}
}

func TestADeclaredMethodCannotBeCalled(t *testing.T) {
	r := New()
	Register("x", limits{}, openAdder, In(r), Methods[adder]())
	e, _ := r.Lookup("x")
	if _, err := e.Methods[0].Call(t.Context(), &pair{}, nil); !errors.Is(err, errNotOpen) {
		t.Errorf("%v, want %v", err, errNotOpen)
	}
}
