package host_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// away is a handler that records what reached it.
type away struct{ came chan registry.Pairs }

func (a away) Tell(ctx context.Context, _ *args, r *reply) error {
	registry.ReplyMetadata(ctx).Set("shelf", "7")
	a.came <- registry.Metadata(ctx)
	r.C = len(registry.Caller(ctx))
	return nil
}

func (away) Refuse(context.Context, *args, *reply) error {
	return code.Errorf(code.NotFound, "no such thing").WithReason("no_endpoint")
}

// far is a host with services, of which a yard knows.
func far(t testing.TB, y *yard, p *plant, more string) (*hosttest.Host, away) {
	t.Helper()
	a := away{came: make(chan registry.Pairs, 100)}
	registry.Plain(a, registry.In(p.reg), registry.As("test.away"))
	h := hosttest.Start(t, `
host: {name: far}
services: [{name: Arith, handler: test.arith}, {name: Away, handler: test.away}, {name: Gate, handler: test.gate}]
`+more, hosttest.Options{Registry: p.reg})
	for _, name := range []string{"Arith", "Away", "Gate"} {
		y.put(name, h.Address)
	}
	return h, a
}

func TestAGatewayLeadsToTheServicesThatDiscoveryKnows(t *testing.T) {
	t.Parallel()
	y := newYard()
	far(t, y, newPlant(t), "")
	y.put("Empty")
	y.put("Secret", "127.0.0.1:1")
	y.put("Gone", unused(t))
	gw := standalone(t, y, "gateway: {remote: {etcd: main, services: [Arith, 'A*', Gate, Gone, Empty]}, routes: [{path: /v1/mul, service: Arith, method: Mul}], get: [Arith.Mul]}\n", hosttest.Options{})
	for _, tc := range []struct {
		path, body string
		status     int
		want       string
	}{
		{"/Arith/Mul", `{"A":73,"B":1500}`, 200, `{"C":109500}`},
		{"/arith/mul", `{"a":73,"b":1500}`, 200, `{"C":109500}`},
		{"/v1/mul", `{"a":73,"b":1500}`, 200, `{"C":109500}`},
		{"/Arith/Div", `{"a":1}`, 500, `"detail":"divide by zero","code":"UNKNOWN"`},
		{"/Arith/Mul", `{"a":`, 400, `"reason":"bad_payload"`},
		{"/Arith/Mull", `{}`, 404, `did you mean Mul?)"`},
		{"/Away/Refuse", `{}`, 404, `"detail":"no such thing","code":"NOT_FOUND","reason":"no_endpoint"`},
		{"/Arit/Mul", `{}`, 404, `"unknown service Arit (did you mean Arith?)"`},
		{"/Secrets/Mul", `{}`, 404, `"unknown service Secrets"`},
		{"/Secret/Mul", `{}`, 404, `"unknown service Secret"`},
		{"/Empty/Mul", `{}`, 404, `"unknown service Empty"`},
		{"/Gone/Mul", `{}`, 502, `"detail":"no endpoint of Gone can be reached","code":"UNAVAILABLE","reason":"no_endpoint","service":"Gone","method":"Mul","host":"gw"`},
	} {
		r, body := gw.Post(tc.path, tc.body)
		if r.StatusCode != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s: %d %s, want %d %s", tc.path, r.StatusCode, body, tc.status, tc.want)
		}
	}
	r, body := gw.Post("/Arith/mul", `{"a":73,"b":1500}`,
		"Easymicro-Version", "1.1", "Easymicro-SerializeType", "1", "Easymicro-Messageid", "1", "Content-Type", "application/x-www-form-urlencoded")
	if r.StatusCode != 200 || body != `{"C":109500}` || r.Header.Get("Easymicro-Messageid") != "1" || r.Header.Get("Easymicro-Servicepath") != "Arith" {
		t.Errorf("as the original's gateway: %d %s %v", r.StatusCode, body, r.Header)
	}
}

// unused is an address without a listener.
func unused(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	return ln.Addr().String()
}

func TestServicesComeAndGoWithoutAReload(t *testing.T) {
	t.Parallel()
	y := newYard()
	gw := standalone(t, y, toAll, hosttest.Options{})
	status := func() int {
		r, _ := gw.Post("/Arith/Mul", `{}`)
		return r.StatusCode
	}
	if got := status(); got != 404 {
		t.Errorf("before it is there: %d", got)
	}
	far(t, y, newPlant(t), "")
	eventually(t, "it is reached", func() bool { return status() == 200 })
	y.put("Arith")
	eventually(t, "it is gone", func() bool { return status() == 404 })
}

func TestWhatAHostServesItselfComesBeforeWhatOthersServe(t *testing.T) {
	t.Parallel()
	y := newYard()
	y.put("Arith", "127.0.0.1:1")
	y.put("Sums", "127.0.0.1:1")
	gw := standalone(t, y, toAll+"services: [{name: Arith, handler: test.arith, aliases: [Sums]}]\n", hosttest.Options{Registry: newPlant(t).reg})
	for _, path := range []string{"/Arith/Mul", "/arith/mul", "/Sums/Mul", "/sums/Mul"} {
		if r, body := gw.Post(path, `{"A":2,"B":3}`); r.StatusCode != 200 || body != `{"C":6}` {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
	if r, body := gw.Post("/Arith/Nope", `{}`); r.StatusCode != 404 || !strings.Contains(body, "unknown method Arith.Nope") {
		t.Errorf("%d %s", r.StatusCode, body)
	}
}

func TestMetadataAndIdentityTravelThroughAGateway(t *testing.T) {
	t.Parallel()
	y := newYard()
	tokens := map[string]string{"tokens.yaml": "- {caller: web, sha256: " + tokenOf("web", "s3cret").SHA256 + "}\n"}
	auth := "auth: {identify: [token], tokens: {file: tokens.yaml}}\n"
	_, a := far(t, y, newPlant(t), "")
	gw := standalone(t, y, toAll+auth, hosttest.Options{Files: tokens})
	r, body := gw.Post("/Away/Tell", `{}`, "Authorization", "Bearer s3cret", "Easymicro-Meta", "tenant=blue&__AUTH=forged&x-em-host=forged&caller=root")
	if r.StatusCode != 200 || r.Header.Get("Easymicro-Meta") != "shelf=7" {
		t.Fatalf("%d %s %v", r.StatusCode, body, r.Header)
	}
	got := receive(t, a.came, "nothing came")
	if got.Get("tenant") != "blue" || got.Get(wire.MetaAuth) != "s3cret" || got.Get("x-em-host") != "" || got.Get("caller") != "" {
		t.Errorf("came with %v", got)
	}
	if r, body := gw.Post("/Away/Tell", `{}`, "Authorization", "Bearer wrong"); r.StatusCode != 401 || !strings.Contains(body, `"host":"gw"`) {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	select {
	case <-a.came:
		t.Error("a caller with a bad token has reached the service")
	default:
	}
}

func TestRefusalsOfTheFarHostStayWhatTheyAre(t *testing.T) {
	t.Parallel()
	y := newYard()
	far(t, y, newPlant(t), `
policies:
  rules:
    - {name: slow, match: {service: Arith}, rateLimit: {rate: 1, per: 10s, burst: 1}}
    - {name: closed, match: {service: Away}, access: {deny: [{caller: "*"}]}}
`)
	gw := standalone(t, y, toAll, hosttest.Options{})
	gw.Post("/Arith/Mul", `{}`)
	r, body := gw.Post("/Arith/Mul", `{}`)
	p := problemOf(t, r, body)
	if p.Status != 429 || p.Code != "RESOURCE_EXHAUSTED" || p.Reason != "rate_limited" || p.Rule != "slow@r1" || p.Host != "far" ||
		p.RetryAfterMS < 1000 || r.Header.Get("Retry-After") == "" || !strings.HasPrefix(p.Detail, "rate limited by slow@r1, retry in ") {
		t.Errorf("%s %v", body, r.Header)
	}
	if r, body := gw.Post("/Away/Tell", `{}`); r.StatusCode != 403 || !strings.Contains(body, `"rule":"closed@r1"`) {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	list, err := gw.Admin.Refusals(t.Context(), admin.RefusalQuery{})
	if err != nil || len(list) != 0 {
		t.Errorf("the gateway takes refusals of others for its own: %v %v", list, err)
	}
}

func TestInboundRulesHoldForServicesOfOtherHosts(t *testing.T) {
	t.Parallel()
	y := newYard()
	p := newPlant(t)
	far(t, y, p, "")
	gw := standalone(t, y, toAll+`
policies:
  rules:
    - {name: limit, match: {service: Arith, method: Mul}, rateLimit: {rate: 1, per: 10s, burst: 2}}
    - {name: closed, match: {service: Away}, access: {deny: [{caller: "*", methods: ["Tel*"]}]}}
    - {name: short, match: {service: Gate}, timeout: 50ms}
    - {name: none, match: {service: Nobody}, timeout: 50ms}
`, hosttest.Options{})
	for i, path := range []string{"/Arith/Mul", "/arith/mul", "/Arith/MUL", "/Arith/mUl"} {
		want := 200
		if i > 1 {
			want = 429
		}
		if r, body := gw.Post(path, `{}`); r.StatusCode != want {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
	for _, path := range []string{"/Away/Tell", "/away/tell", "/Away/TELL"} {
		if r, body := gw.Post(path, `{}`); r.StatusCode != 403 || !strings.Contains(body, `"rule":"closed@r1"`) {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
	r, body := gw.Post("/Gate/Wait", `{}`)
	if p := problemOf(t, r, body); p.Status != 504 || p.Rule != "short@r1" || p.Reason != "timeout" || p.Host != "gw" {
		t.Errorf("%s", body)
	}
	p.gate.come(t)
	if err := receive(t, p.gate.ended, "the far handler goes on"); err == nil {
		t.Error("the deadline did not travel")
	}
	list, err := gw.Admin.Refusals(t.Context(), admin.RefusalQuery{})
	if err != nil || len(list) != 4 { // Tel* leaves the rest of a name as it is called: Tell and TelL
		t.Errorf("refusals %v %v", list, err)
	}
}

func TestClientSideRulesOfAGatewayGoByTheNameOfTheService(t *testing.T) {
	t.Parallel()
	y := newYard()
	p := newPlant(t)
	far(t, y, p, "")
	gw := standalone(t, y, toAll+`
policies:
  rules:
    - {name: out, match: {upstream: Arith, method: Mul}, rateLimit: {rate: 1, per: 10s, burst: 2}}
    - {name: out-time, match: {upstream: Gate}, timeout: 50ms}
`, hosttest.Options{})
	for i, path := range []string{"/Arith/Mul", "/arith/mul", "/Arith/MUL"} {
		r, body := gw.Post(path, `{}`)
		if i < 2 && r.StatusCode != 200 || i == 2 && (r.StatusCode != 429 || !strings.Contains(body, `"rule":"out@r1"`)) {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
	if r, body := gw.Post("/Arith/Div", `{"B":1}`); r.StatusCode != 200 {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	if r, body := gw.Post("/Gate/Wait", `{}`); r.StatusCode != 504 || !strings.Contains(body, `"rule":"out-time@r1"`) {
		t.Errorf("%d %s", r.StatusCode, body)
	}
}

func TestALostConnectionIsABadGateway(t *testing.T) {
	t.Parallel()
	y := newYard()
	p := newPlant(t)
	h, _ := far(t, y, p, "")
	proxy := cuttable(t, h.Address)
	y.put("Gate", proxy.address)
	gw := standalone(t, y, toAll, hosttest.Options{})
	answer := make(chan *http.Response, 1)
	go func() {
		r, _, err := gw.TryPost("/Gate/Wait", `{}`)
		if err != nil {
			t.Error(err)
		}
		answer <- r
	}()
	p.gate.come(t)
	proxy.cut()
	if r := receive(t, answer, "no answer"); r.StatusCode != 502 {
		t.Errorf("%d", r.StatusCode)
	}
}

func TestFramesForOtherHostsArePassedOnToo(t *testing.T) {
	t.Parallel()
	y := newYard()
	far(t, y, newPlant(t), "")
	gw := standalone(t, y, toAll, hosttest.Options{})
	c := gw.Dial()
	for _, codec := range []wire.Codec{wire.JSON, wire.Msgpack} {
		payload, err := wire.Append(codec, nil, &args{A: 6, B: 7})
		must(t, err)
		req := wire.Frame{Service: "arith", Method: "mul", Codec: codec, Payload: payload}
		req.Metadata.Set(wire.MetaAcceptCompression, "zstd")
		var res wire.Frame
		must(t, c.Do(t.Context(), &req, &res))
		var r reply
		must(t, wire.Decode(codec, res.Payload, &r))
		if r.C != 42 || res.Codec != codec {
			t.Errorf("%s: %d", codec, r.C)
		}
	}
	err := c.Do(t.Context(), &wire.Frame{Service: "Arith", Method: "Div", Codec: wire.JSON, Payload: []byte(`{}`)}, new(wire.Frame))
	if e := code.From(err); e == nil || e.Message != "divide by zero" || e.Code != code.Unknown {
		t.Errorf("%v", err)
	}
}

func TestOneWayCallsArePassedOn(t *testing.T) {
	t.Parallel()
	y := newYard()
	_, a := far(t, y, newPlant(t), "")
	gw := standalone(t, y, toAll, hosttest.Options{})
	if r, body := gw.Post("/Away/Tell", `{}`, "Easymicro-Oneway", "1", "Easymicro-Meta", "n=1"); r.StatusCode != 202 || body != "" {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	if got := receive(t, a.came, "it did not come"); got.Get("n") != "1" {
		t.Errorf("%v", got)
	}
}

func TestAHeaderBecomesMetadataForTheHostBehindAStandaloneGateway(t *testing.T) {
	t.Parallel()
	y := newYard()
	_, a := far(t, y, newPlant(t), "")
	gw := standalone(t, y, "gateway: {remote: {etcd: main, services: ['*']}, metadata: {x-tenant: X-Tenant}}\n", hosttest.Options{})
	if r, body := gw.Post("/Away/Tell", `{}`, "X-Tenant", "acme"); r.StatusCode != 200 {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	if got := receive(t, a.came, "it did not come"); got.Get("x-tenant") != "acme" {
		t.Errorf("%v", got)
	}
}

func TestUnknownServicesAreNotDeniedBeforeDiscoveryHasSpoken(t *testing.T) {
	t.Parallel()
	h := hosttest.Start(t, "discovery: {etcd: [{name: main, endpoints: ['http://127.0.0.1:1']}]}\n"+toAll, hosttest.Options{})
	r, body := h.Post("/Arith/Mul", `{}`)
	if p := problemOf(t, r, body); p.Status != 502 || p.Reason != "no_endpoint" || p.Detail != "etcd main has not listed its services yet" {
		t.Errorf("%s", body)
	}
	if res, err := http.Get("http://" + h.AdminAddr().String() + "/readyz"); err != nil || res.StatusCode != 200 {
		t.Errorf("it is not ready: %v %v", res, err)
	} else {
		_ = res.Body.Close()
	}
}

func TestRulesForServicesOfOtherHostsAreExplained(t *testing.T) {
	t.Parallel()
	y := newYard()
	y.put("Arith", "127.0.0.1:1")
	gw := standalone(t, y, toAll+`
policies:
  rules:
    - {name: limit, match: {service: Arith, method: Mul}, rateLimit: {rate: 1, per: 10s, burst: 2}}
`, hosttest.Options{})
	x, err := gw.Admin.Explain(t.Context(), admin.ExplainQuery{Service: "Arith", Method: "mul"})
	must(t, err)
	if len(x.Kinds) == 0 || len(x.Kinds[0].Applies) != 1 || x.Kinds[0].Applies[0].Rule != "limit" {
		t.Errorf("%+v", x)
	}
}

// A caller must not be able to make up metrics.
func TestMethodsOfOtherHostsHaveMetricsOnceTheyHaveAnswered(t *testing.T) {
	t.Parallel()
	y := newYard()
	far(t, y, newPlant(t), "")
	gw := standalone(t, y, toAll, hosttest.Options{})
	for _, path := range []string{"/Arith/Mul", "/Arith/mul", "/Arith/MUL", "/Arith/Made-up", "/Arith/Div", "/Nowhere/Mul"} {
		gw.Post(path, `{}`)
	}
	res, err := http.Get("http://" + gw.AdminAddr().String() + "/metrics")
	must(t, err)
	text, err := io.ReadAll(res.Body)
	must(t, err)
	must(t, res.Body.Close())
	for _, want := range []string{
		`rpc_server_call_duration_seconds_count{rpc_method="Arith/Mul",rpc_status_code="OK",rpc_system_name="rpcx",transport="http"} 2`, // the first one was not known to be one
		`rpc_server_call_duration_seconds_count{rpc_method="Arith/_OTHER",rpc_status_code="UNIMPLEMENTED",rpc_system_name="rpcx",transport="http"} 1`,
		`rpc_server_call_duration_seconds_count{rpc_method="Arith/_OTHER",rpc_status_code="UNKNOWN",rpc_system_name="rpcx",transport="http"} 1`,
		`rpc_server_call_duration_seconds_count{rpc_method="_OTHER",rpc_status_code="UNIMPLEMENTED",rpc_system_name="rpcx",transport="http"} 1`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s", want)
		}
	}
	for _, made := range []string{"Made-up", "MUL", "Nowhere"} {
		if strings.Contains(string(text), made) {
			t.Errorf("%s is a label", made)
		}
	}
}

// Names that a caller makes up must not use up what keeps the lines of others apart.
func TestMadeUpMethodsAtAGatewayDoNotTakeTheNamesFromTheLog(t *testing.T) {
	t.Parallel()
	y := newYard()
	far(t, y, newPlant(t), "")
	var log logBuffer
	gw := standalone(t, y, toAll+"policies: {files: [p.yaml]}\n", hosttest.Options{Log: &log, Files: map[string]string{
		"p.yaml": `rules:
  - {name: quota, match: {service: Arith}, rateLimit: {rate: 1, per: 1h, burst: 1}}
  - {name: door, match: {service: Gate}, access: {deny: [{caller: "*"}]}}
`,
	}})
	gw.Post("/Arith/First", `{}`)
	for i := range 100 {
		gw.Post(fmt.Sprintf("/Arith/Made%d", i), `{}`)
	}
	gw.Post("/Gate/Buy", `{}`)
	if text := log.String(); !strings.Contains(text, "method=Arith/_OTHER rule=quota@r1 reason=rate_limited caller=anonymous called=Arith/Made0") ||
		!strings.Contains(text, "rule=door@r1 reason=denied caller=anonymous called=Gate/Buy") || strings.Contains(text, "called=Arith/Made50") {
		t.Error(text)
	}
}
