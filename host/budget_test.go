package host_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
)

func TestTheLimitsOfAHostAreLiveAndShown(t *testing.T) {
	h := hosttest.Start(t, "host: {limits: {maxInFlight: 7, maxBufferedBytes: 32MiB}}\nservices: [{name: Arith, handler: test.arith}]\n",
		hosttest.Options{Registry: newPlant(t).reg})
	shows := func(calls, bytes int64) {
		t.Helper()
		s, err := h.Admin.Status(t.Context())
		must(t, err)
		if b := s.Budget; b.MaxInFlight != calls || b.MaxBufferedBytes != bytes || b.InFlight != 0 {
			t.Errorf("%+v", b)
		}
		text := scrape(t, h)
		for _, want := range []string{
			fmt.Sprintf("easymicro_budget_in_flight_limit %d\n", calls), "easymicro_budget_in_flight 0\n",
			"easymicro_budget_refused_total 0\n", `easymicro_budget_bytes{state="free"}`, `easymicro_budget_bytes{state="used"}`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %s", want)
			}
		}
	}
	shows(7, 32<<20)
	edit(t, h, "maxInFlight: 7, maxBufferedBytes: 32MiB", "maxInFlight: 9, maxBufferedBytes: 64MiB")
	shows(9, 64<<20)
}

func TestTheMetadataThatAListenerTakesIsSaidLive(t *testing.T) {
	h := hosttest.Start(t, `
listeners: [{name: main, address: "127.0.0.1:0", limits: {maxMetadataPairs: 64}}]
services: [{name: Arith, handler: test.arith}]
`, hosttest.Options{Registry: newPlant(t).reg})
	long := wire.Metadata{{"__AUTH", strings.Repeat("x", 9<<10)}} // a token of nine kilobytes
	many := make(wire.Metadata, 0, 100)
	for i := range cap(many) {
		many.Set(fmt.Sprintf("k%d", i), "v")
	}
	call := func(m wire.Metadata) error {
		req := wire.Frame{Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"A":2,"B":3}`), Metadata: m}
		return h.Dial().Do(t.Context(), &req, new(wire.Frame))
	}
	for _, m := range []wire.Metadata{long, many} {
		if err := call(m); err == nil {
			t.Error("metadata beyond the defaults is taken")
		}
	}
	edit(t, h, "maxMetadataPairs: 64", "maxMetadataPairs: 128, maxMetadataBytes: 16KiB")
	for _, m := range []wire.Metadata{long, many} {
		if err := call(m); err != nil {
			t.Error(err)
		}
	}
}
