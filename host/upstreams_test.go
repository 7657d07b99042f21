package host_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// desk is a handler that has its work done by an upstream.
type desk struct{ till registry.Client }

// Mul asks the till, and says what came back beside the reply.
func (d *desk) Mul(ctx context.Context, a *args, r *reply) error {
	var answered registry.Pairs
	ctx = registry.WithOutgoing(registry.WithReplyOf(ctx, &answered), "tenant", registry.Caller(ctx))
	err := d.till.Call(ctx, "Mul", a, r)
	registry.ReplyMetadata(ctx).Set("from-till", answered.Get("tenant"))
	return err
}

func (d *desk) Wait(ctx context.Context, a *args, r *reply) error {
	return d.till.Call(ctx, "Wait", a, r)
}

// till is what a desk calls. It answers with the number of its host as well.
type till struct {
	gate *gate
	add  int
}

func (l *till) Mul(ctx context.Context, a *args, r *reply) error {
	r.C = a.A*a.B + l.add
	if d, ok := ctx.Deadline(); ok && a.A == 0 {
		r.C = int(time.Until(d).Milliseconds())
	}
	registry.ReplyMetadata(ctx).Set("tenant", registry.Metadata(ctx).Get("tenant"))
	return nil
}

func (l *till) Wait(ctx context.Context, a *args, r *reply) error { return l.gate.Wait(ctx, a, r) }

func deskPlant(t testing.TB) *plant {
	p := newPlant(t)
	registry.Register("test.desk", struct{}{}, func(_ context.Context, _ struct{}, e registry.Env) (*registry.Service, error) {
		return registry.Receiver(&desk{till: e.Client("till")}), nil
	}, registry.In(p.reg), registry.Uses("till"), registry.Methods[desk]())
	return p
}

// startTill runs a host whose answers differ by what they have added.
func startTill(t testing.TB, add int) (*hosttest.Host, *gate) {
	t.Helper()
	return startTillUnder(t, add, "")
}

// startTillUnder runs one under more of a manifest.
func startTillUnder(t testing.TB, add int, manifest string) (*hosttest.Host, *gate) {
	t.Helper()
	l := &till{gate: newGate(), add: add}
	t.Cleanup(l.gate.open)
	reg := registry.New()
	registry.Plain(l, registry.In(reg), registry.As("test.till"))
	return hosttest.Start(t, "services: [{name: Till, handler: test.till}]\n"+manifest, hosttest.Options{Registry: reg}), l.gate
}

// deskManifest gives a busy machine time to connect.
const deskManifest = `services: [{name: Desk, handler: test.desk, uses: {till: %s}}]
upstreams:
  - {name: till, service: Till, connection: {connectTimeout: 20s}, resolve: {endpoints: ["%s"]}}
policies: {files: ["p.yaml"]}
`

func startDesk(t testing.TB, rules string, tills ...*hosttest.Host) *hosttest.Host {
	t.Helper()
	addresses := make([]string, len(tills))
	for i, l := range tills {
		addresses[i] = l.Address
	}
	manifest := fmt.Sprintf(deskManifest, "till", strings.Join(addresses, `", "`))
	return hosttest.Start(t, manifest, hosttest.Options{Registry: deskPlant(t).reg, Files: map[string]string{"p.yaml": rules}})
}

func mul(t testing.TB, h *hosttest.Host, a, b int) (int, error) {
	var r reply
	c := h.Dial()
	defer c.Close() // tests call thousands of times
	err := hosttest.CallJSON(t.Context(), c, "Desk", "Mul", args{a, b}, &r)
	return r.C, err
}

func TestAHandlerCallsAnotherHostThroughItsClient(t *testing.T) {
	far, _ := startTill(t, 0)
	h := startDesk(t, "rules: []\n", far)
	var res wire.Frame
	must(t, h.Dial().Do(t.Context(), &wire.Frame{Service: "Desk", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"A":6,"B":7}`)}, &res))
	if string(res.Payload) != `{"C":42}` {
		t.Errorf("answered %s", res.Payload)
	}
	if got := res.Metadata.Get("from-till"); got != "anonymous" {
		t.Errorf("metadata went to the upstream and came back as %q", got)
	}
}

func TestTheCallersDeadlineTravelsOn(t *testing.T) {
	far, _ := startTill(t, 0)
	h := startDesk(t, "rules: []\n", far)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var r reply
	must(t, hosttest.CallJSON(ctx, h.Dial(), "Desk", "Mul", args{}, &r))
	if r.C < 1 || r.C > 5000 {
		t.Errorf("%d ms are left on the second host", r.C)
	}
}

func TestWhatAnUpstreamSaysOfItselfDoesNotReachTheCaller(t *testing.T) {
	far, _ := startTill(t, 0)
	far.Write("easymicro.yaml", "services: [{name: Till, handler: test.till}]\npolicies: {rules: [{name: none, match: {service: Till}, rateLimit: {rate: 1, per: 24h}}]}\n")
	far.Revision()
	h := startDesk(t, "rules: []\n", far)
	var e *code.Error
	for range 2 {
		_, err := mul(t, h, 1, 1)
		errors.As(err, &e)
	}
	if e == nil || e.Code != code.ResourceExhausted || e.Reason != "" || e.Rule != "" || e.RetryAfter != 0 {
		t.Errorf("%+v", e)
	}
}

// press calls without a pause until stop, and returns how many calls were made and the first error.
func press(t testing.TB, h *hosttest.Host) (stop func() (calls int64, first error)) {
	var (
		calls atomic.Int64
		first atomic.Pointer[error]
		done  = make(chan struct{})
		all   sync.WaitGroup
	)
	for range 4 {
		c := h.Dial()
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				var r reply
				if err := hosttest.CallJSON(t.Context(), c, "Desk", "Mul", args{2, 3}, &r); err != nil {
					first.CompareAndSwap(nil, &err)
				} else if r.C%1000 != 6 {
					err := fmt.Errorf("answered %d", r.C)
					first.CompareAndSwap(nil, &err)
				}
				calls.Add(1)
			}
		})
	}
	return func() (int64, error) {
		close(done)
		all.Wait()
		if err := first.Load(); err != nil {
			return calls.Load(), *err
		}
		return calls.Load(), nil
	}
}

func TestEditsOfUpstreamsUnderLoadLoseNoCall(t *testing.T) {
	one, _ := startTill(t, 0)
	two, _ := startTill(t, 1000)
	h := startDesk(t, "rules: []\n", one)
	stop := press(t, h)
	manifest := func(name, upstreams string) string {
		return fmt.Sprintf("services: [{name: Desk, handler: test.desk, uses: {till: %s}}]\nupstreams:\n%s\npolicies: {files: [p.yaml]}\n", name, upstreams)
	}
	upstream := func(name, address, more string) string {
		return fmt.Sprintf("  - {name: %s, service: Till, resolve: {endpoints: [%q]}%s}\n", name, address, more)
	}
	for i := range 5 {
		for _, text := range []string{
			manifest("till", upstream("till", two.Address, "")),
			manifest("till", upstream("till", two.Address, ", codec: json")),
			manifest("other", upstream("till", two.Address, ", codec: json")+upstream("other", one.Address, "")),
			manifest("other", upstream("other", one.Address, ", connection: {poolSize: 2}")),
			manifest("till", upstream("till", one.Address, "")),
		} {
			h.Write("easymicro.yaml", text)
			if r := h.Revision(); r.Result != host.ResultApplied {
				t.Fatalf("round %d: %s: %v %s", i, r.Result, r.Problems, r.Error)
			}
		}
	}
	if calls, err := stop(); err != nil || calls < 100 {
		t.Errorf("of %d calls one failed: %v", calls, err)
	}
}

func TestACallOutliesTheUpstreamThatItWasMadeBy(t *testing.T) {
	one, gate := startTill(t, 0)
	two, _ := startTill(t, 1000)
	h := startDesk(t, "rules: []\n", one)
	answer := callRPCX(t, h, "Desk", "Wait")
	gate.come(t)
	h.Edit("easymicro.yaml", one.Address, two.Address)
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatal(r.Problems)
	}
	awaitThat(t, "the new connections are in use", func() bool { return host.InUse(h.Host) })
	if got, err := mul(t, h, 2, 3); err != nil || got != 1006 {
		t.Errorf("%d, %v: new calls go on to the old upstream", got, err)
	}
	gate.open()
	if err := receive(t, answer, "the call has no answer"); err.err != nil {
		t.Error(err.err)
	}
}

func TestAnUpstreamThatIsTakenAwayIsClosed(t *testing.T) {
	far, _ := startTill(t, 0)
	h := startDesk(t, "rules: []\n", far)
	_, err := mul(t, h, 1, 1)
	must(t, err)
	status, err := far.Admin.Status(t.Context())
	must(t, err)
	before := status.Listeners[0].Connections
	h.Write("easymicro.yaml", "services: []\n")
	h.Revision()
	eventually(t, "the connection is closed", func() bool {
		status, err := far.Admin.Status(t.Context())
		return err == nil && status.Listeners[0].Connections < before
	})
}

func TestClientSideRulesAreLive(t *testing.T) {
	t.Parallel()
	far, _ := startTill(t, 0)
	h := startDesk(t, "rules: []\n", far)
	_, err := mul(t, h, 1, 1)
	must(t, err)
	h.Write("p.yaml", "rules: [{name: few, match: {upstream: till}, rateLimit: {rate: 1, per: 24h}}]\n")
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatal(r.Problems)
	}
	_, err = mul(t, h, 1, 1)
	must(t, err)
	_, err = mul(t, h, 1, 1)
	if e := code.From(err); e == nil || e.Code != code.ResourceExhausted {
		t.Errorf("%v: the rule does not hold", err)
	}
	h.Write("p.yaml", "rules: []\n")
	h.Revision()
	if _, err := mul(t, h, 1, 1); err != nil {
		t.Errorf("%v: the rule still holds", err)
	}
}

func TestTheRulesOfCallsToAnUpstreamAreExplained(t *testing.T) {
	far, _ := startTill(t, 0)
	h := startDesk(t, "rules:\n  - {name: few, match: {upstream: till}, rateLimit: {rate: 5}}\n  - {name: brief, match: {upstream: till, method: Mul}, timeout: 1s}\n", far)
	for name, q := range map[string]admin.ExplainQuery{
		"by the name of the upstream":  {Upstream: "till", Method: "Mul"},
		"by a name that is no service": {Service: "till", Method: "Mul"},
	} {
		x, err := h.Admin.Explain(t.Context(), q)
		if err != nil || x.Upstream != "till" || x.Service != "Till" || len(x.Kinds) != 2 || x.Kinds[0].Applies[0].Rule != "brief" {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
	if _, err := h.Admin.Explain(t.Context(), admin.ExplainQuery{Upstream: "tlil", Method: "Mul"}); err == nil || !strings.Contains(fmt.Sprint(err), "tlil") {
		t.Errorf("%v", err)
	}
}

func TestStatusAndMetricsShowUpstreams(t *testing.T) {
	far, _ := startTill(t, 0)
	h := startDesk(t, "rules: []\n", far)
	s, err := h.Admin.Status(t.Context())
	must(t, err)
	if u := s.Upstreams[0]; u.Called || u.Name != "till" || u.Service != "Till" || u.Resolve != "endpoints" {
		t.Errorf("before the first call: %+v", u)
	}
	_, err = mul(t, h, 1, 1)
	must(t, err)
	s, err = h.Admin.Status(t.Context())
	must(t, err)
	if u := s.Upstreams[0]; len(u.Endpoints) != 1 || u.Endpoints[0].Address != far.Address || u.Endpoints[0].State != "ready" {
		t.Errorf("after it: %+v", u)
	}
	if text := scrape(t, h); !strings.Contains(text, `easymicro_discovery_endpoints{service="Till",state="ready"} 1`) {
		t.Error("the endpoint is in no metric")
	}
	far.Stop()
	eventually(t, "status and metrics tell that it is gone", func() bool {
		s, err := h.Admin.Status(t.Context())
		return err == nil && s.Upstreams[0].Endpoints[0].State != "ready" && strings.Contains(scrape(t, h), `service="Till",state="ready"} 0`)
	})
}

// A handler may call while it is being opened, when no generation is in force yet.
func TestAHandlerMayCallWhileItOpens(t *testing.T) {
	far, _ := startTill(t, 0)
	p := newPlant(t)
	var got reply
	registry.Register("test.eager", struct{}{}, func(ctx context.Context, _ struct{}, e registry.Env) (*registry.Service, error) {
		if err := e.Client("till").Call(ctx, "Mul", args{6, 7}, &got); err != nil {
			return nil, err
		}
		return registry.Receiver(arith{}), nil
	}, registry.In(p.reg), registry.Uses("till"))
	hosttest.Start(t, fmt.Sprintf("services: [{name: Eager, handler: test.eager, uses: {till: till}}]\n"+
		"upstreams: [{name: till, service: Till, connection: {connectTimeout: 20s}, resolve: {endpoints: [%q]}}]\n", far.Address), hosttest.Options{Registry: p.reg})
	if got.C != 42 {
		t.Errorf("answered %d", got.C)
	}
}

func TestUsesAreThoseThatTheHandlerAsksFor(t *testing.T) {
	p := deskPlant(t)
	check := func(uses string) []string {
		text := "services:\n  - name: Desk\n    handler: test.desk\n    uses: " + uses + "\nupstreams: [{name: till, service: Till, resolve: {dns: \"t:1\"}}]\n"
		m, problems := config.DecodeManifest("m.yaml", []byte(text), nil)
		must(t, problems.Err())
		var lines []string
		for _, p := range host.Check(&config.Set{Manifest: m}, p.reg).Errors() {
			lines = append(lines, p.String())
		}
		return lines
	}
	for uses, want := range map[string][]string{
		"{till: till}": nil,
		"{}":           {"m.yaml:4:11: services[0].uses: handler test.desk uses a client till: name its upstream, as in uses: {till: UPSTREAM}"},
		"{till: till, tils: till}": {
			"m.yaml:4:30: services[0].uses.tils: handler test.desk does not use a client tils: it uses till (did you mean till?)",
		},
	} {
		if diff := cmp.Diff(want, check(uses)); diff != "" {
			t.Errorf("uses: %s (-want +got):\n%s", uses, diff)
		}
	}
}
