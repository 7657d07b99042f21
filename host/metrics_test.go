package host_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

func TestAFloodOfUnknownNamesMakesNoSeries(t *testing.T) {
	h := hosttest.Start(t, "services: [{name: Arith, handler: test.arith}]\n", hosttest.Options{Registry: newPlant(t).reg})
	conn := h.Dial()
	flood := func(from, to int) {
		for i := from; i < to; i++ {
			req := wire.Frame{Service: fmt.Sprintf("Flood%d", i), Method: "M", Codec: wire.JSON, Payload: []byte("{}")}
			if e := code.From(conn.Do(t.Context(), &req, new(wire.Frame))); e == nil || e.Code != code.Unimplemented {
				t.Fatalf("%v", e)
			}
			h.Post(fmt.Sprintf("/Arith/Flood%d", i), "{}")
		}
	}
	flood(0, 10)
	before := series(scrape(t, h))
	flood(10, 500)
	text := scrape(t, h)
	if after := series(text); after != before {
		t.Errorf("%d series became %d", before, after)
	}
	if strings.Contains(text, "Flood") || !strings.Contains(text, `rpc_method="_OTHER"`) {
		t.Error("a name of a peer is a label")
	}
	if list, err := h.Admin.Refusals(t.Context(), admin.RefusalQuery{}); err != nil || strings.Contains(fmt.Sprint(list), "Flood") {
		t.Errorf("%v, %v", list, err)
	}
}

func series(text string) int {
	n := 0
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

func TestTheLastCallsOfARemovedMethodCountBeforeItsSeriesGo(t *testing.T) {
	h, p := rolled(t, "services: [{name: Arith, handler: test.arith}, {name: Gate, handler: test.gate}]\n")
	old := callRPCX(t, h, "Gate", "Wait")
	p.gate.come(t)
	first := callRPCX(t, h, "Gate", "Ignore")
	p.gate.come(t)
	edit(t, h, ", {name: Gate, handler: test.gate}", "")
	if text := scrape(t, h); !strings.Contains(text, "easymicro_inflight_requests 2") {
		t.Error("the calls in flight are forgotten")
	}
	p.gate.open()
	if o := receive(t, old, "the call hangs"); o.err != nil {
		t.Error(o.err)
	}
	receive(t, first, "the call hangs")
	eventually(t, "the series go", func() bool {
		text := scrape(t, h)
		return !strings.Contains(text, `rpc_method="Gate`) && strings.Contains(text, "easymicro_inflight_requests 0")
	})
	edit(t, h, "handler: test.arith}", "handler: test.arith}, {name: Gate, handler: test.gate}")
	expect(t, h, "/Gate/Wait", "1")
	if !strings.Contains(scrape(t, h), `rpc_method="Gate/Wait"`) {
		t.Error("a method that came back has no series")
	}
}

func TestRefusalsAndExplanationsNameTheRule(t *testing.T) {
	h := hosttest.Start(t, `
services: [{name: Arith, handler: test.arith}]
policies:
  rules:
    - {name: few, match: {service: Arith, method: Mul}, rateLimit: {rate: 1, burst: 2}}
    - {name: wide, match: {service: "*"}, timeout: 5s}
    - {name: narrow, match: {service: Arith, method: Mul}, timeout: 3s}
`, hosttest.Options{Registry: newPlant(t).reg})
	for range 5 {
		h.Post("/arith/mul", "{}")
	}
	list, err := h.Admin.Refusals(t.Context(), admin.RefusalQuery{})
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	if r := list[0]; r.Count < 2 || r.Rule != "few@r1" || r.Kind != "rateLimit" || r.Position != "easymicro.yaml:5" || r.Caller != "anonymous" ||
		!strings.Contains(r.State, "of 2 tokens") {
		t.Errorf("%+v", r)
	}
	x, err := h.Admin.Explain(t.Context(), admin.ExplainQuery{Service: "Arith", Method: "Mul"})
	must(t, err)
	var text strings.Builder
	for _, k := range x.Kinds {
		for _, r := range k.Applies {
			fmt.Fprintf(&text, "%s %s %s; ", k.Kind, r.Rule, r.Position)
		}
		for _, r := range k.Losers {
			fmt.Fprintf(&text, "%s not %s: %s; ", k.Kind, r.Rule, r.Reason)
		}
	}
	want := "rateLimit few easymicro.yaml:5; timeout narrow easymicro.yaml:7; timeout not wide: less specific than narrow; "
	if text.String() != want {
		t.Errorf("got  %s\nwant %s", text.String(), want)
	}
}
