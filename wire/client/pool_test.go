package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// source is a Resolver that gives the lists of a test while it waits.
type source chan func([]Endpoint, error)

func newSource() source { return make(source, 1) }

func (r source) Watch(ctx context.Context, _ string, update func([]Endpoint, error)) error {
	r <- update
	<-ctx.Done()
	<-r
	return ctx.Err()
}

func (r source) give(list []Endpoint, err error) {
	update := <-r
	update(list, err)
	r <- update
}

func (r source) list(addresses ...string) { r.give(at(addresses...), nil) }

func TestEndpointsOfAnUpstreamAreCountedOnce(t *testing.T) {
	var p Pool
	type lookup struct {
		*Subscription
		source
	}
	look := func(service string) lookup {
		r := newSource()
		return lookup{p.Subscribe(Lookup{Resolver: r, Upstream: "billing", Service: service}), r}
	}
	billing, again, refunds := look("Billing"), look("Billing"), look("Refunds")
	for i, step := range []struct {
		lookup    lookup
		addresses []string // nil: it is closed
		want      int
		of        string // Billing
	}{
		{billing, []string{"a", "b"}, 2, "[a b]"},
		{refunds, []string{"b", "c"}, 3, "[a b]"},
		{again, []string{"d", "b"}, 4, "[a b d]"}, // another client sees more
		{billing, []string{}, 3, "[b d]"},
		{refunds, []string{"c", "c"}, 3, "[b d]"},
		{again, nil, 1, "[]"},
		{again, nil, 1, "[]"},
		{refunds, nil, 0, "[]"},
		{billing, nil, 0, "[]"},
	} {
		if step.addresses != nil {
			step.lookup.list(step.addresses...)
		} else {
			step.lookup.Close()
		}
		if n, of := p.Size("billing"), fmt.Sprint(p.Endpoints("billing", "Billing")); n != step.want || of != step.of || p.Size("orders") != 0 {
			t.Errorf("step %d: %d and %s, want %d and %s", i, n, of, step.want, step.of)
		}
	}
	if len(p.upstreams)+len(p.feeds) > 0 {
		t.Errorf("left: %v, %v", p.upstreams, p.feeds)
	}
}

func TestClientsWithOneResolverAndPoolWatchAServiceOnce(t *testing.T) {
	s := newServer(t, mul)
	r := serving(s.address)
	var p Pool
	a, b := newClient(t, Options{Resolver: r, Pool: &p}), newClient(t, Options{Resolver: Source{Resolver: r}, Pool: &p})
	for _, c := range []*Client{a, b, a} {
		if err := six(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if n := r.watches("Arith"); n != 1 {
			t.Errorf("%d watches", n)
		}
	}
	_ = a.Close()
	if err := six(t.Context(), b); err != nil || r.watches("Arith") != 1 {
		t.Errorf("without the other client: %v, %d watches", err, r.watches("Arith"))
	}
	_ = b.Close()
	if n := r.watches("Arith"); n != 0 {
		t.Errorf("%d watches are left", n)
	}
}

// A client that replaces another looks up the same services; nothing is gone before it has a list.
func TestTakeOverKeepsWhatIsKnownOfAnUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pool
		var changes []string
		p.OnChange(func(c Change) {
			changes = append(changes, fmt.Sprintf("%d known, %d gone, over %t", len(c.Known), len(c.Gone), c.Over))
		})
		next := func(before *Client) (*Client, source) {
			r := newSource()
			c, err := New(Options{Resolver: r, Pool: &p, Upstream: "billing"})
			if err != nil {
				t.Fatal(err)
			}
			if before != nil {
				c.TakeOver(before)
				synctest.Wait()
				_ = before.Close()
			}
			return c, r
		}
		expect := func(want ...string) {
			t.Helper()
			if !slices.Equal(changes, want) {
				t.Errorf("%q, want %q", changes, want)
			}
			changes = nil
		}
		first, r := next(nil)
		if _, err := first.service("Billing"); err != nil {
			t.Fatal(err)
		}
		r.list("a", "b")
		expect("2 known, 0 gone, over false")
		second, r := next(first)
		expect("2 known, 0 gone, over false")
		third, _ := next(second) // before it has an answer
		expect("2 known, 0 gone, over false")
		fourth, r2 := next(third)
		_ = r
		r2.give(nil, errors.New("away"))
		expect("2 known, 0 gone, over false")
		r2.list("b")
		expect("1 known, 1 gone, over false")
		_ = fourth.Close()
		expect("0 known, 1 gone, over true")
	})
}

func TestPoolLogsLossAndReturnOfEndpoints(t *testing.T) {
	var out bytes.Buffer
	p := NewPool(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})))
	old, now := newSource(), newSource()
	p.open("till")
	defer p.close("till")
	before := p.Subscribe(Lookup{Resolver: Source{old, "file a", true}, Upstream: "till", Service: "Till", Group: "blue"})
	after := p.Subscribe(Lookup{Resolver: Source{Resolver: now, Name: "dns b"}, Upstream: "till", Service: "Till", Group: "blue"})
	blue := []Endpoint{{Address: "a:1", Metadata: map[string]string{"group": "blue"}}}
	away := errors.New("away")
	const about = ` upstream=till service=Till resolve=`
	for i, step := range []struct {
		by   source
		list []Endpoint
		err  error
		want string
	}{
		{old, blue, nil, ""},
		{old, nil, away, `level=WARN msg="` + string(stale) + `"` + about + `"file a" why=away`},
		{old, blue, nil, `level=INFO msg="endpoint lookup works again"` + about + `"file a" endpoints=1`},
		{old, at("b:1"), nil, `level=WARN msg="` + string(unserved) + `"` + about + `"file a" why="no endpoint is in group blue (1 found)"`},
		{old, nil, away, ""},
		{now, nil, nil, ""},
		{now, blue, nil, `level=INFO msg="upstream has endpoints again"` + about + `"dns b" endpoints=1`},
		{old, nil, nil, ""},  // it is replaced
		{now, nil, away, ""}, // it logs that itself
		{now, []Endpoint{}, nil, `level=WARN msg="` + string(unserved) + `"` + about + `"dns b" why="nothing serves it, according to dns b"`},
	} {
		out.Reset()
		step.by.give(step.list, step.err)
		if got := strings.TrimSpace(out.String()); got != step.want {
			t.Errorf("step %d: %s\nwant %s", i, got, step.want)
		}
	}
	out.Reset()
	before.Close()
	after.Close()
	again := p.Subscribe(Lookup{Resolver: old, Upstream: "till", Service: "Till"}) // a client of the upstream is open still
	defer again.Close()
	old.give(nil, nil)
	if out.Len() > 0 {
		t.Errorf("logged twice: %s", &out)
	}
	old.list("a:1")
	if !strings.Contains(out.String(), "endpoints again") {
		t.Errorf("its return is not logged: %s", &out)
	}
}

func TestResolversThatAreNotComparableAreWatchedForEachClient(t *testing.T) {
	var p Pool
	var mu sync.Mutex
	n := 0
	r := watching(func(ctx context.Context, _ string, update func([]Endpoint, error)) error {
		mu.Lock()
		n++
		mu.Unlock()
		update(at("a:1"), nil)
		<-ctx.Done()
		return ctx.Err()
	})
	a, b := p.Subscribe(Lookup{Resolver: r, Service: "S"}), p.Subscribe(Lookup{Resolver: r, Service: "S"})
	<-a.first
	<-b.first
	a.Close()
	b.Close()
	b.Close()
	if n != 2 || p.Size("S") != 0 {
		t.Errorf("%d watches, %d endpoints", n, p.Size("S"))
	}
}

func TestClientsUseThePoolOfTheirGuard(t *testing.T) {
	g := new(scripted)
	if c := newClient(t, Options{Resolver: newNames(), Guard: g}); c.o.Pool != &g.pool {
		t.Error("the client has another pool")
	}
	if _, err := New(Options{Resolver: newNames(), Guard: g, Pool: new(Pool)}); err == nil || !strings.Contains(err.Error(), "Options.Pool") {
		t.Errorf("another pool: %v", err)
	}
}

// Subscriptions open and close, and lists change, while rules read.
func TestPoolIsSafeForConcurrentUse(t *testing.T) {
	var p Pool
	p.OnChange(func(c Change) { _ = p.Size(c.Upstream) })
	r := newNames()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 50 {
				s := p.Subscribe(Lookup{Resolver: r, Upstream: fmt.Sprint("u", i%2), Service: fmt.Sprint("S", j%3)})
				r.set(fmt.Sprint("S", j%3), at(fmt.Sprint("a:", j))...)
				_ = p.Endpoints("u0", "S1")
				s.Close()
			}
		})
	}
	all.Wait()
	if len(p.upstreams)+len(p.feeds) > 0 || r.count() > 0 {
		t.Errorf("left: %v, %v", p.upstreams, p.feeds)
	}
}
