package tracing_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/host/telemetry/otlptest"
)

// cafe runs the hosts of the sample with their spans sent to c.
func cafe(t *testing.T, c *otlptest.Collector) (front *hosttest.Host) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	replace(t, filepath.Join(dir, "kitchen.yaml"), "http://127.0.0.1:4318", c.URL)
	back := hosttest.StartFile(t, filepath.Join(dir, "kitchen.yaml"), hosttest.Options{})
	replace(t, filepath.Join(dir, "easymicro.yaml"), "http://127.0.0.1:4318", c.URL)
	replace(t, filepath.Join(dir, "easymicro.yaml"), "127.0.0.1:8973", back.Address)
	return hosttest.StartFile(t, filepath.Join(dir, "easymicro.yaml"), hosttest.Options{})
}

func replace(t *testing.T, file, from, to string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), from) != 1 {
		t.Fatalf("%s does not have %q once", file, from)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), from, to, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAnOrderIsOneTraceOverBothHosts(t *testing.T) {
	c := otlptest.HTTP(t)
	h := cafe(t, c)
	if res, body := h.Post("/Cafe/Order", `{"name":"cappuccino"}`); res.StatusCode != 200 || !strings.Contains(body, "coffee with milk") {
		t.Fatalf("%s %s", res.Status, body)
	}
	spans := c.Wait(5)
	order := otlptest.Find(spans, "Cafe/Order", "SERVER")
	for _, method := range []string{"Kitchen/Brew", "Kitchen/Froth"} {
		calls, serves := otlptest.Find(spans, method, "CLIENT"), otlptest.Find(spans, method, "SERVER")
		if calls.Parent != order.ID || serves.Parent != calls.ID || serves.Trace != order.Trace || serves.Service != "Kitchen" {
			t.Errorf("%+v", spans)
		}
	}
}

func TestARefusalIsInTheTraceAndTheProblem(t *testing.T) {
	c := otlptest.HTTP(t)
	h := cafe(t, c)
	h.Post("/Cafe/Order", `{"name":"cappuccino"}`)
	first := c.Wait(5)
	_, body := h.Post("/Cafe/Order", `{"name":"cappuccino"}`)
	second := c.Wait(10)[len(first):]
	froth := otlptest.Find(second, "Kitchen/Froth", "SERVER")
	if froth.Attributes["easymicro.rule"] != "one-frother@r1" || !strings.Contains(body, `"trace_id":"`+froth.Trace) {
		t.Errorf("%+v\n%s", froth, body)
	}
}

func TestTheKitchenSamplesNothingItself(t *testing.T) {
	c := otlptest.HTTP(t)
	h := cafe(t, c)
	h.Edit("easymicro.yaml", "sampleRatio: 100%", "sampleRatio: 0%")
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatalf("%+v", r)
	}
	h.Post("/Cafe/Order", `{"name":"coffee"}`)
	h.Post("/Cafe/Order", `{"name":"coffee"}`, "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	for _, s := range c.Wait(3) {
		if s.Trace != "0af7651916cd43dd8448eb211c80319c" {
			t.Errorf("%+v", s)
		}
	}
}
