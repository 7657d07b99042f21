package registrytest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/registry/registrytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type options struct {
	Prefix string
	closed *[]string
}

type shop struct {
	options options
	billing registry.Client
}

type order struct{ ID int }

type receipt struct{ Text string }

var errNoPaper = errors.New("out of paper")

func (s *shop) Buy(ctx context.Context, o *order, r *receipt) error {
	var price int
	if err := s.billing.Call(ctx, "Price", o, &price); err != nil {
		return err
	}
	r.Text = fmt.Sprintf("%s%d for %s: %d", s.options.Prefix, o.ID, registry.Caller(ctx), price)
	registry.ReplyMetadata(ctx).Set("shop", registry.Metadata(ctx).Get("v"))
	return nil
}

func (s *shop) Break(context.Context, *order, *receipt) error { panic(s.options.Prefix) }

func shops() *registry.Registry {
	r := registry.New()
	registry.Register("shop", options{Prefix: "#"}, func(_ context.Context, o options, env registry.Env) (*registry.Service, error) {
		if o.Prefix == "" {
			return nil, errNoPaper
		}
		env.Log().Info("opened", "service", env.Service())
		s := &shop{o, env.Client("billing")}
		return registry.Receiver(s).OnClose(func() error {
			if o.closed != nil {
				*o.closed = append(*o.closed, o.Prefix)
			}
			return nil
		}).OnOptions(func(_ context.Context, o options) error { s.options = o; return nil }), nil
	}, registry.In(r), registry.Uses("billing"))
	return r
}

func price(n int) registrytest.Option {
	return registrytest.Client("billing", registrytest.ClientFunc(func(_ context.Context, method string, _, reply any) error {
		if method != "Price" {
			return errNoPaper
		}
		*reply.(*int) = n
		return nil
	}))
}

func TestAHandlerIsCalledWithItsDefaultsAndAFakeClient(t *testing.T) {
	h := registrytest.Open(t, "shop", registrytest.In(shops()), price(5))
	for _, args := range []any{order{7}, &order{7}} {
		got, err := registrytest.Call[receipt](t.Context(), h, "Buy", args)
		if err != nil || got.Text != "#7 for anonymous: 5" {
			t.Errorf("%T: %+v, %v", args, got, err)
		}
	}
}

func TestTheHandlerSeesTheCallOfTheTest(t *testing.T) {
	h := registrytest.Open(t, "shop", registrytest.In(shops()), price(5))
	call := &registry.Call{Metadata: registry.Pairs{{"v", "1"}}}
	got, err := registrytest.Call[receipt](registry.WithCall(t.Context(), call), h, "Buy", order{7})
	if err != nil || got.Text != "#7 for : 5" || call.Reply.Get("shop") != "1" {
		t.Errorf("%+v, %v, reply metadata %v", got, err, call.Reply)
	}
}

func TestOptionsReplaceTheDefaultsAndCanChange(t *testing.T) {
	h := registrytest.Open(t, "shop", registrytest.In(shops()), price(5), registrytest.Options(options{Prefix: "no. "}))
	if got, err := registrytest.Call[receipt](t.Context(), h, "Buy", order{7}); err != nil || got.Text != "no. 7 for anonymous: 5" {
		t.Errorf("%+v, %v", got, err)
	}
	if handled, err := h.Reconfigure(t.Context(), options{Prefix: "nr. "}); !handled || err != nil {
		t.Errorf("%v, %v", handled, err)
	}
	if got, err := registrytest.Call[receipt](t.Context(), h, "Buy", order{7}); err != nil || got.Text != "nr. 7 for anonymous: 5" {
		t.Errorf("%+v, %v", got, err)
	}
	const want = "the test passes a int, the handler takes a registrytest_test.options"
	if _, err := h.Reconfigure(t.Context(), 3); err == nil || !strings.Contains(err.Error(), want) {
		t.Error(err)
	}
}

func TestAnInstanceIsClosedWhenItsTestEnds(t *testing.T) {
	var closed []string
	t.Run("inner", func(t *testing.T) {
		registrytest.Open(t, "shop", registrytest.In(shops()), registrytest.Options(options{"a", &closed}))
		registrytest.Open(t, "shop", registrytest.In(shops()), registrytest.Options(options{"b", &closed}))
	})
	if strings.Join(closed, "") != "ba" {
		t.Errorf("closed %v", closed)
	}
}

func TestAMissingClientIsExplained(t *testing.T) {
	h := registrytest.Open(t, "shop", registrytest.In(shops()))
	_, err := registrytest.Call[receipt](t.Context(), h, "Buy", order{7})
	if err == nil || err.Error() != `the test has no client "billing": add registrytest.Client` {
		t.Error(err)
	}
}

// recorder is a testing.TB that records failures. It embeds another for everything else.
type recorder struct {
	testing.TB
	failed string
	logged string
}

func (r *recorder) Helper() {}

func (r *recorder) Fatal(args ...any) { r.failed = fmt.Sprint(args...); panic(r) }

func (r *recorder) Fatalf(format string, args ...any) { r.Fatal(fmt.Sprintf(format, args...)) }

func (r *recorder) Logf(format string, args ...any) { r.logged += fmt.Sprintf(format, args...) }

func failure(t *testing.T, do func(tb *recorder)) *recorder {
	t.Helper()
	r := &recorder{TB: t}
	func() {
		defer func() { _ = recover() }()
		do(r)
	}()
	return r
}

func TestAMistakeOfTheTestEndsIt(t *testing.T) {
	in := registrytest.In(shops())
	call := func(method string, args any) func(*recorder) {
		return func(tb *recorder) {
			h := registrytest.Open(tb, "shop", in)
			_, _ = registrytest.Call[receipt](t.Context(), h, method, args)
		}
	}
	for _, tt := range []struct {
		do   func(*recorder)
		want string
	}{
		{func(tb *recorder) { registrytest.Open(tb, "shoe", in) }, `handler "shoe" is not registered: is its package imported?`},
		{func(tb *recorder) { registrytest.Open(tb, "shop", in, registrytest.Options(options{})) }, "shop: open: out of paper"},
		{
			func(tb *recorder) { registrytest.Open(tb, "shop", in, registrytest.Options(&options{})) },
			"shop: options: the test passes a *registrytest_test.options, the handler takes a registrytest_test.options",
		},
		{call("Sell", order{}), `shop has no method "Sell"; it has Break, Buy`},
		{call("Buy", 3), "shop.Buy takes registrytest_test.order, not int"},
		{call("Buy", nil), "shop.Buy takes registrytest_test.order, not <nil>"},
		{func(tb *recorder) {
			_, _ = registrytest.Call[order](t.Context(), registrytest.Open(tb, "shop", in), "Buy", order{})
		}, "shop.Buy replies with registrytest_test.receipt, not registrytest_test.order"},
	} {
		if got := failure(t, tt.do).failed; got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestAPanicIsReturnedAndItsStackLogged(t *testing.T) {
	r := failure(t, func(tb *recorder) {
		h := registrytest.Open(tb, "shop", registrytest.In(shops()))
		_, err := registrytest.Call[receipt](t.Context(), h, "Break", order{})
		var p *registry.PanicError
		if !errors.As(err, &p) || p.Value != "#" {
			t.Errorf("%v", err)
		}
	})
	if !strings.Contains(r.logged, "shop.Break: panic: #") || !strings.Contains(r.logged, "registrytest_test.go") {
		t.Errorf("logged %s", r.logged)
	}
}
