package registry

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// entry registers an open function and returns its Entry.
func entry(open func(context.Context, limits, Env) (*Service, error), opts ...Option) *Entry {
	r := New()
	Register("orders", limits{Max: 7, Tags: []string{"a"}}, open, append(opts, In(r))...)
	e, _ := r.Lookup("orders")
	return e
}

func TestAnInstanceGetsItsOwnCopyOfTheDefaults(t *testing.T) {
	var got []limits
	e := entry(func(_ context.Context, o limits, _ Env) (*Service, error) {
		got = append(got, o)
		o.Tags[0] = "spoiled by an instance"
		return Receiver(&adder{}), nil
	})
	e.Defaults.(limits).Tags[0] = "spoiled by a reader"
	for _, decode := range []func(any) error{
		nil,
		func(into any) error { into.(*limits).Max = 9; into.(*limits).Tags[0] = "set"; return nil },
		func(any) error { return nil },
	} {
		if _, err := e.Open(t.Context(), decode, nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 3 || got[0].Max != 7 || got[1].Max != 9 || got[2].Max != 7 {
		t.Errorf("opened with %+v, want Max 7, 9, 7", got)
	}
	o, err := e.DecodeOptions(nil)
	if err != nil || o.(*limits).Tags[0] != "a" {
		t.Errorf("%+v, %v: the defaults were changed", o, err)
	}
}

type api struct{}

func (api) Get(context.Context, *pair, *sum) error { return nil }
func (api) Put(context.Context, *pair, *sum) error { return nil }

type less struct{}

func (less) Get(context.Context, *pair, *sum) error { return nil }

type otherwise struct{ less }

func (otherwise) Put(context.Context, *pair, *string) error { return nil }

func exits(context.Context, limits, Env) (*Service, error) {
	runtime.Goexit()
	return nil, nil
}

var errNoPaper = errors.New("out of paper")

func TestErrorsOfOpenNameTheHandler(t *testing.T) {
	returns := func(s *Service) func(context.Context, limits, Env) (*Service, error) {
		return func(context.Context, limits, Env) (*Service, error) { return s, nil }
	}
	get := func(context.Context, *pair) (*sum, error) { return nil, nil }
	tests := []struct {
		name string
		open func(context.Context, limits, Env) (*Service, error)
		opts []Option
		want string
	}{
		{"error", func(context.Context, limits, Env) (*Service, error) { return nil, errNoPaper }, nil, "orders: open: out of paper"},
		{"panic", func(context.Context, limits, Env) (*Service, error) { panic("no ink") }, nil, "orders: open: panic: no ink at open_test.go:LINE"},
		{"goexit", exits, nil, "orders: open: runtime.Goexit called at open_test.go:LINE"},
		{"nil", returns(nil), nil, "orders: open: returned neither a service nor an error"},
		{"bad receiver", returns(Receiver(nil)), nil, "orders: open: receiver is nil"},
		{"nil function", returns(Unary[pair, sum]("Get", nil)), nil, `orders: open: method "Get": the function is nil`},
		{"bad name", returns(Unary("Get.It", get)), nil, `orders: open: method "Get.It": want 1 to 64 characters of A-Z a-z 0-9 _ -`},
		{"nil part", returns(Receiver(api{}).And(nil)), nil, "orders: open: And was given a nil service"},
		{"bad part", returns(Receiver(api{}).And(Receiver(nil))), nil, "orders: open: receiver is nil"},
		{"double", returns(Receiver(api{}).And(Unary("Get", get))), nil, `orders: open: method "Get" exists twice`},
		{"nil close", returns(Receiver(api{}).OnClose(nil)), nil, "orders: open: OnClose was given nil"},
		{"nil ready", returns(Receiver(api{}).OnReady(nil)), nil, "orders: open: OnReady was given nil"},
		{"missing", returns(Receiver(less{})), []Option{Methods[*api]()}, `orders: open: method "Put" is declared, but not served`},
		{"more", returns(Receiver(api{})), []Option{Methods[less]()}, `orders: open: method "Put" is served, but not declared`},
		{
			"other", returns(Receiver(otherwise{})),
			[]Option{Methods[api]()},
			`orders: open: method "Put" takes (*registry.pair, *string), but (*registry.pair, *registry.sum) is declared`,
		},
		{"fits", returns(Receiver(less{}).And(Unary("Put", get))), []Option{Methods[less](), UnaryMethod[pair, sum]("Put")}, ""},
		{"undeclared client", func(_ context.Context, _ limits, env Env) (*Service, error) {
			env.Client("billing")
			return Receiver(api{}), nil
		}, []Option{Uses("stock")}, `orders: open: client "billing" is not declared: add registry.Uses("billing")`},
		{
			"nil options hook", returns(Receiver(api{}).OnOptions((func(context.Context, limits) error)(nil))), nil,
			"orders: open: OnOptions was given nil",
		},
		{
			"options hook of another type", returns(Receiver(api{}).OnOptions(func(context.Context, *limits) error { return nil })), nil,
			"orders: open: OnOptions was given a func(context.Context, *registry.limits) error, want a func(context.Context, registry.limits) error",
		},
		{
			"options hook no function", returns(Receiver(api{}).OnOptions(3)), nil,
			"orders: open: OnOptions was given a int, want a func(context.Context, registry.limits) error",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := entry(tt.open, tt.opts...).Open(t.Context(), nil, nil)
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || line.ReplaceAllString(err.Error(), ":LINE") != tt.want || s != nil):
				t.Errorf("%v, %v\nwant %s", s, err, tt.want)
			}
		})
	}
}

func TestADecodingErrorIsReturnedUnchanged(t *testing.T) {
	_, err := entry(openAdder).Open(t.Context(), func(any) error { return errNoPaper }, nil)
	if !errors.Is(err, errNoPaper) || err.Error() != "orders: options: out of paper" {
		t.Error(err)
	}
}

func TestAnInstanceThatIsNotAcceptedIsClosed(t *testing.T) {
	closed := 0
	e := entry(func(context.Context, limits, Env) (*Service, error) {
		return Receiver(api{}).OnClose(func() error { closed++; return nil }), nil
	}, Methods[less]())
	if _, err := e.Open(t.Context(), nil, nil); err == nil || closed != 1 {
		t.Errorf("%v, closed %d times", err, closed)
	}
}

func TestALateInstanceIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closed := false
		e := entry(func(context.Context, limits, Env) (*Service, error) {
			time.Sleep(time.Minute)
			return Receiver(api{}).OnClose(func() error { closed = true; return nil }), nil
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		_, err := e.Open(ctx, nil, nil)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !closed {
			t.Error("the late instance was not closed")
		}
	})
}

type hostEnv struct{ clients map[string]Client }

func (hostEnv) Log() *slog.Logger           { return slog.New(slog.DiscardHandler) }
func (hostEnv) Service() string             { return "Orders" }
func (e hostEnv) Client(name string) Client { return e.clients[name] }

type echo struct{}

func (echo) Call(_ context.Context, method string, _, reply any) error {
	*reply.(*string) = method
	return nil
}

func TestAHandlerGetsTheClientsThatItDeclares(t *testing.T) {
	var got Env
	e := entry(func(_ context.Context, _ limits, env Env) (*Service, error) {
		got = env
		env.Client("stock")
		return Receiver(api{}), nil
	}, Uses("billing", "stock"))
	if _, err := e.Open(t.Context(), nil, hostEnv{map[string]Client{"billing": echo{}}}); err != nil {
		t.Fatal(err)
	}
	var reply string
	if err := got.Client("billing").Call(t.Context(), "Pay", nil, &reply); err != nil || reply != "Pay" {
		t.Errorf("%q, %v", reply, err)
	}
	err := got.Client("stock").Call(t.Context(), "Take", nil, nil)
	if err == nil || err.Error() != `client "stock" is not bound to an upstream` {
		t.Errorf("a client that the host has not: %v", err)
	}
	if got.Service() != "Orders" || got.Log() == nil {
		t.Error("the rest of the environment is not the host's")
	}
}

func TestAHandlerOpensWithoutAnEnvironment(t *testing.T) {
	e := entry(func(_ context.Context, _ limits, env Env) (*Service, error) {
		env.Log().Info("opening", "service", env.Service())
		err := env.Client("billing").Call(t.Context(), "Pay", nil, nil)
		if env.Service() != "orders" || err == nil || !strings.Contains(err.Error(), "not bound") {
			t.Errorf("service %q, client %v", env.Service(), err)
		}
		return Receiver(api{}), nil
	}, Uses("billing"))
	if _, err := e.Open(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
}
