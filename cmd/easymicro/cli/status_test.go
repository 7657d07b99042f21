package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/policies"
)

func shown(show func(*printer)) string {
	var out bytes.Buffer
	show(&printer{out: &out, err: &out, noColor: true})
	return out.String()
}

func TestStatusShowsFailedChecksWithoutDoubleNegation(t *testing.T) {
	s := &admin.Status{Host: "h", Draining: true, Checks: []admin.Check{
		{Name: "not draining"}, {Name: "service Desk", Detail: "no till"}, {Name: "listeners", OK: true},
	}}
	got := shown(func(p *printer) { (&statusText{p}).show(s) })
	for _, want := range []string{"\n  not ready: draining\n", "\n  not ready: service Desk no till\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestStatusShowsRejectedConnections(t *testing.T) {
	since := time.Now().Add(-90 * time.Second)
	got := shown(func(p *printer) {
		(&statusText{p}).show(&admin.Status{Host: "h", NotAccepting: []admin.AcceptTrouble{
			{Listener: "admin", Reason: "too_many_connections", Since: since, Count: 5},
			{Listener: "main", Reason: "no_descriptors", Since: since, Count: 1},
		}})
	})
	for _, want := range []string{
		"warning: listener admin closed 5 connections for new ones, the first 1m30s ago: too many connections\n",
		"warning: listener main rejected 1 connection, the first 1m30s ago: no descriptors\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestStatusShowsWhyAnEditWaits(t *testing.T) {
	got := shown(func(p *printer) { (&statusText{p}).policiesText(&admin.Policies{Waiting: "the edit removes rules"}) })
	if !strings.Contains(got, "OUT OF SYNC") || !strings.Contains(got, "\nwaiting: the edit removes rules\n") {
		t.Error(got)
	}
}

// Errors cause a rejection, warnings do not.
func TestRejectionShowsErrorsOnly(t *testing.T) {
	problems := config.Problems{{Message: "is wrong"}, {Message: "is odd", Warning: true}}
	got := shown(func(p *printer) {
		(&statusText{p}).policiesText(&admin.Policies{LastAttempt: admin.LastAttempt{Result: "rejected", Problems: problems}})
		report(p, reloadError(&hostClient{}, &admin.Error{Code: admin.CodeRejected, Problems: problems}))
	})
	if strings.Count(got, "is wrong") != 2 || strings.Contains(got, "is odd") {
		t.Error(got)
	}
}

func TestRefusalWithoutCallerHasADash(t *testing.T) {
	got := shown(func(p *printer) {
		refusalsText(p, []admin.Refusal{{At: time.Now(), Count: 1, Service: "Desk", Method: "Mul", Peer: "10.0.0.7", Reason: "rate_limited"}})
	})
	if !strings.Contains(got, "Desk.Mul   - 10.0.0.7   rate_limited") {
		t.Error(got)
	}
}

func TestStatusShowsUpstreamsAndDiscovery(t *testing.T) {
	long := time.Now().Add(-90 * time.Second)
	got := shown(func(p *printer) {
		(&statusTables{p}).upstreams([]admin.Upstream{
			{Name: "billing", Service: "Billing", Resolve: "etcd main", Called: true, Error: "etcd is unreachable", More: 3, Endpoints: []admin.Endpoint{
				{Address: "10.0.0.5:8972", State: "ready", InFlight: 2, LatencySeconds: 0.0015},
				{Address: "10.0.0.6:8972", State: "backoff", Error: "connection refused"},
			}},
			{Name: "stock", Service: "Stock", Resolve: "dns stock:8972"},
			{Name: "rates", Service: "Rates", Resolve: "file nodes.yaml", Called: true},
		})
		(&statusTables{p}).discovery([]admin.Discovery{
			{
				Name: "main", Connected: true, Since: long, Registers: true, Registered: true, RegisteredSince: long, Lease: "694d", Duplicate: "10.0.0.9:8972",
				Instances: []admin.Instance{{Service: "Arith", Address: "10.0.0.7:8972"}, {Service: "Maths", Address: "10.0.0.7:8972"}},
				Services:  []admin.Discovered{{Service: "Billing", Endpoints: []admin.Endpoint{{State: "live"}, {State: "stale"}}}},
			},
			{Name: "far", Since: long, Error: "no answer", Registers: true, Instances: []admin.Instance{{Service: "Arith", Address: "10.0.0.7:8972"}}},
			{Name: "spare"},
			{
				Name: "gone", Since: long, Registers: true,
				Error: "etcd gone: not reachable at http://127.0.0.1:1: connection error: desc = transport: Error while dialing",
			},
		})
	})
	want := `
UPSTREAM   SERVICE   FOUND BY          ENDPOINT        STATE                         IN FLIGHT   LATENCY
billing    Billing   etcd main         10.0.0.5:8972   ready                         2           1.5ms
                                       10.0.0.6:8972   backoff: connection refused   0           -
                                       and 3 more
stock      Stock     dns stock:8972    -               not called yet
rates      Rates     file nodes.yaml   -               no endpoint
warning: upstream billing: etcd is unreachable

DISCOVERY   CONNECTION                                                        REGISTRATION                       PUBLISHED                       FOUND
main        connected for 1m30s                                               registered for 1m30s, lease 694d   Arith, Maths at 10.0.0.7:8972   1 service, 2 endpoints (1 stale)
far         unreachable for 1m30s: no answer                                  NOT REGISTERED                     Arith at 10.0.0.7:8972          no services, no endpoints
spare       not used yet                                                      -                                  -                               no services, no endpoints
gone        unreachable for 1m30s: not reachable at http://127.0.0.1:1: co…   nothing to publish                 -                               no services, no endpoints
error: another live host at 10.0.0.9:8972 has the same name: give each its own host.name
warning: discovery gone: etcd gone: not reachable at http://127.0.0.1:1: connection error: desc = transport: Error while dialing
`
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestRefusalsNameUpstreamsIfThereAreSome(t *testing.T) {
	in := admin.Refusal{At: time.Now(), Count: 1, Service: "Desk", Method: "Mul", Caller: "web", Reason: "rate_limited"}
	out := in
	out.Upstream, out.Service, out.Reason = "billing", "Billing", "breaker_open"
	got := shown(func(p *printer) { refusalsText(p, []admin.Refusal{in, out}) })
	for _, want := range []string{"COUNT   UPSTREAM   METHOD ", "1       -          Desk.Mul ", "1       billing    Billing.Mul "} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got := shown(func(p *printer) { refusalsText(p, []admin.Refusal{in}) }); strings.Contains(got, "UPSTREAM") || !strings.Contains(got, "1       Desk.Mul") {
		t.Error(got)
	}
}

func TestShadowRulesAreMarked(t *testing.T) {
	refused := admin.Refusal{At: time.Now(), Count: 1, Service: "Desk", Method: "Mul", Caller: "web", Reason: "denied", Rule: "r@r1"}
	would := refused
	would.Shadow, would.Rule = true, "s@r1"
	got := shown(func(p *printer) { refusalsText(p, []admin.Refusal{refused, would}) })
	for _, want := range []string{"REASON   MODE     RULE ", "denied   -        r@r1 ", "denied   shadow   s@r1 "} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	got = shown(func(p *printer) {
		(&statusTables{p}).breakers([]policies.BreakerStats{{Rule: "r", Mode: "shadow", Target: "Arith/Mul", State: "open"}})
		(&statusTables{p}).limiters([]policies.LimiterStats{{Rule: "r", Mode: "shadow", Tokens: 0.5, Burst: 1}})
	})
	if !strings.Contains(got, "open    shadow ") || strings.Count(got, "shadow") != 2 {
		t.Error(got)
	}
}

func TestBreakersNameTheirTarget(t *testing.T) {
	inbound := policies.BreakerStats{Rule: "mul", Target: "Arith/Mul", State: "closed"}
	got := shown(func(p *printer) {
		(&statusTables{p}).breakers([]policies.BreakerStats{
			inbound,
			{Rule: "out", Upstream: "billing", Target: "10.0.0.5:8972", State: "open"},
			{Rule: "out", Upstream: "stock", Target: "stock unix:///run/stock.sock", State: "half_open"},
			{Rule: "whole", Upstream: "stock", Target: "stock", State: "open"},
		})
	})
	for _, want := range []string{
		"BREAKER   UPSTREAM   TARGET ", "mul       -          Arith.Mul ", "out       billing    10.0.0.5:8972 ",
		"out       stock      unix:///run/stock.sock   half-open", "whole     stock      stock ",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got := shown(func(p *printer) { (&statusTables{p}).breakers([]policies.BreakerStats{inbound}) }); strings.Contains(got, "UPSTREAM") {
		t.Error(got)
	}
}

func TestStatusShowsWhatExpires(t *testing.T) {
	s := &admin.Status{
		Host: "h", Expiring: []admin.Expiry{
			{Rule: "door", Kinds: []string{"access"}, Mode: "enforce", At: time.Now().Add(-3*time.Hour - time.Minute), Expired: true, Opens: true, Effect: "calls that it refused are allowed", Position: "p.yaml:2"},
			{Caller: "web", At: time.Now().Add(50*time.Hour + time.Minute), Effect: "its caller is refused", Position: "t.yaml:1"},
		},
		Warnings: config.Problems{{Path: "rules[0].expires", Message: "the rule expires on some day"}},
	}
	got := shown(func(p *printer) { (&statusText{p}).show(s) })
	for _, want := range []string{
		"EXPIRED 3h01m ago   door (access)   enforce   calls that it refused are allowed   p.yaml:2\n",
		"in 2d02h            token of web    -         its caller is refused               t.yaml:1\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "some day") {
		t.Errorf("reported twice:\n%s", got)
	}
}

func TestStatusShowsTheMethodsThatWereCalled(t *testing.T) {
	at := func(d time.Duration) admin.Seconds { return admin.Seconds(d) }
	s := &admin.Status{
		Services: []admin.ServiceStatus{{Name: "Desk", Methods: []admin.MethodStatus{
			{Name: "Mul", LastMinute: admin.Traffic{Calls: 1500, CallsPerSecond: 31.26, Refused: 20, P50: at(130 * time.Microsecond), P99: at(1234567)}},
			{Name: "Idle"},
			{Name: "Div", LastMinute: admin.Traffic{Calls: 7, Failed: 2, P50: at(2*time.Second + 345*time.Millisecond), P99: at(98765 * time.Millisecond)}},
		}}},
		Upstreams: []admin.Upstream{{Name: "billing", MethodsMore: 3, Methods: []admin.MethodStatus{
			{Name: "Invoices/Get", LastMinute: admin.Traffic{Calls: 4, CallsPerSecond: 0.4, Refused: 4}},
		}}},
	}
	show := func() string { return shown(func(p *printer) { (&trafficTable{p}).show(s) }) }
	want := `
LAST MINUTE    UPSTREAM   CALLS   CALLS/S   FAILED       REFUSED       P50     P99
Desk.Mul       -          1500    31.3      0            20 (1.3 %)    130µs   1.2ms
Desk.Div       -          7       0.0       2 (28.6 %)   0             2.3s    1m39s
Invoices.Get   billing    4       0.4       0            4 (100.0 %)   -       -
and 3 more: easymicro status -o json
`
	if got := show(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	for i := range 100 {
		s.Services[0].Methods = append(s.Services[0].Methods, admin.MethodStatus{Name: "M", LastMinute: admin.Traffic{Calls: uint64(100 + i)}})
	}
	got := show()
	if strings.Count(got, "\n") != 43 || !strings.Contains(got, "Desk.Mul ") || strings.Contains(got, "Desk.Div") || !strings.HasSuffix(got, "and 66 more: easymicro status -o json\n") {
		t.Error(got)
	}
	if got := shown(func(p *printer) { (&trafficTable{p}).show(&admin.Status{}) }); got != "" {
		t.Errorf("an idle host shows %q", got)
	}
}
