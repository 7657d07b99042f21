package host_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
)

// A rule about calls to an upstream refuses the handler's call. That of the handler's caller was run.
func TestARefusalByARuleAboutAnUpstreamIsNotOneOfTheHandler(t *testing.T) {
	far, _ := startTill(t, 0)
	h := startDesk(t, "rules: [{name: few, match: {upstream: till}, rateLimit: {rate: 1, per: 24h}}]\n", far)
	_, err := mul(t, h, 1, 1)
	must(t, err)
	_, err = mul(t, h, 1, 1)
	if e := code.From(err); e == nil || e.Code != code.ResourceExhausted || e.Reason != "" || e.Rule != "" || e.RetryAfter != 0 ||
		!strings.Contains(e.Message, "few@r1") {
		t.Errorf("%+v", e)
	}
	res, body := h.Post("/Desk/Mul", `{"A":1,"B":1}`)
	if res.Header.Get("Retry-After") != "" || strings.Contains(body, `"rule"`) {
		t.Errorf("%v: %s", res.Header, body)
	}
}

const openTill = "rules: [{name: breaks, match: {upstream: till}, circuitBreaker: {consecutiveFailures: 1, openTimeout: 1h}}]\n"

// breakTill has the breaker of the till open: it is gone.
func breakTill(t *testing.T, h *hosttest.Host, far *hosttest.Host) {
	t.Helper()
	far.Stop()
	eventually(t, "the breaker opens", func() bool {
		_, _ = mul(t, h, 1, 1)
		return strings.Contains(scrape(t, h), openMetric(far))
	})
}

func openMetric(far *hosttest.Host) string {
	return fmt.Sprintf(`easymicro_breaker_state{mode="enforce",rule="breaks",state="open",target=%q} 1`, far.Address)
}

// What the old client of an upstream says when it ends is not that there are no endpoints any more.
func TestAnEditOfAnUpstreamKeepsItsBreakersOpen(t *testing.T) {
	t.Parallel()
	far, _ := startTill(t, 0)
	h := startDesk(t, openTill, far)
	_, err := mul(t, h, 1, 1)
	must(t, err)
	breakTill(t, h, far)
	for i, with := range []string{"codec: json, service: Till", "codec: msgpack, service: Till"} {
		old := host.Upstream(h.Host, "till")
		h.Edit("easymicro.yaml", []string{"service: Till", "codec: json, service: Till"}[i], with)
		if r := h.Revision(); r.Result != host.ResultApplied {
			t.Fatal(r.Problems)
		}
		must(t, old.Close()) // returns when it has said its last
		if text := scrape(t, h); !strings.Contains(text, openMetric(far)) {
			t.Fatalf("edit %d: the breaker is open no longer", i)
		}
		if _, err := mul(t, h, 1, 1); err == nil || !strings.Contains(err.Error(), "circuit breaker open") {
			t.Errorf("edit %d: %v", i, err)
		}
	}
	h.Write("easymicro.yaml", "services: []\npolicies: {files: [p.yaml]}\n")
	h.Revision()
	eventually(t, "the breaker is forgotten with the upstream", func() bool {
		return !strings.Contains(scrape(t, h), `easymicro_breaker_state{mode="enforce",rule="breaks"`)
	})
}

// The endpoints were known before there were rules: one of three may be ejected, not one of those that failed.
// stuck is a till that never opens.
type stuck struct{}

func (*stuck) Mul(context.Context, *args, *reply) error {
	return code.Errorf(code.Unavailable, "the drawer is stuck")
}

func TestEndpointsFoundWhileAHandlerOpensAreKnownToTheRules(t *testing.T) {
	reg := registry.New()
	registry.Plain(new(stuck), registry.In(reg), registry.As("test.till"))
	one := hosttest.Start(t, "services: [{name: Till, handler: test.till}]\n", hosttest.Options{Registry: reg})
	two, _ := startTill(t, 0)
	three, _ := startTill(t, 0)
	p := newPlant(t)
	registry.Register("test.eager", struct{}{}, func(ctx context.Context, _ struct{}, e registry.Env) (*registry.Service, error) {
		_ = e.Client("till").Call(ctx, "Mul", args{6, 7}, new(reply)) // perhaps of the one that is stuck
		return registry.Receiver(&desk{till: e.Client("till")}), nil
	}, registry.In(p.reg), registry.Uses("till"), registry.Methods[desk]())
	h := hosttest.Start(t, fmt.Sprintf("services: [{name: Desk, handler: test.eager, uses: {till: till}}]\n"+
		"upstreams: [{name: till, service: Till, loadBalancer: {policy: roundRobin}, connection: {connectTimeout: 20s}, resolve: {endpoints: [%q, %q, %q]}}]\n"+
		"policies: {rules: [{name: out, match: {upstream: till}, outlierDetection: {consecutiveFailures: 1}}]}\n",
		one.Address, two.Address, three.Address), hosttest.Options{Registry: p.reg})
	eventually(t, "the endpoint that fails is ejected", func() bool {
		_, _ = mul(t, h, 1, 1)
		s, err := h.Admin.Status(t.Context())
		must(t, err)
		for _, e := range s.Upstreams[0].Endpoints {
			if e.Address == one.Address && e.State == "ejected" {
				return strings.Contains(e.Error, "consecutive failures") &&
					strings.Contains(scrape(t, h), `easymicro_discovery_endpoints{service="Till",state="ejected"} 1`)
			}
		}
		return false
	})
}
