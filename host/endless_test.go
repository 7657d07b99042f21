package host_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

type ring struct {
	Next *ring
	Map  map[string]*ring
	Any  any
}

// endless answers with values that have no end, or none that anybody would wait for.
type endless struct{}

func (endless) Ring(_ context.Context, _ *args, r *ring) error {
	r.Next = &ring{Next: r}
	return nil
}

func (endless) Map(_ context.Context, _ *args, r *ring) error {
	r.Map = map[string]*ring{"": r}
	return nil
}

func (endless) Any(_ context.Context, _ *args, r *any) error {
	m := map[string]any{}
	m[""] = m
	*r = m
	return nil
}

func (endless) Pointer(_ context.Context, _ *args, r *any) error {
	*r = r
	return nil
}

func (endless) Deep(_ context.Context, _ *args, r *ring) error {
	for range 100_000 {
		r.Next = &ring{Next: r.Next}
	}
	return nil
}

func (endless) Doubled(_ context.Context, _ *args, r *any) error {
	for range 40 {
		*r = []any{*r, *r}
	}
	return nil
}

func TestRepliesWithoutAnEndFailTheirOwnCallsOnly(t *testing.T) {
	p := newPlant(t)
	registry.Plain(endless{}, registry.In(p.reg), registry.As("test.endless"))
	h := hosttest.Start(t, `
services: [{name: Endless, handler: test.endless}, {name: Arith, handler: test.arith}]
`, hosttest.Options{Registry: p.reg})
	c := h.Dial()
	for _, method := range []string{"Ring", "Map", "Any", "Pointer", "Deep", "Doubled"} {
		for codec, payload := range map[wire.Codec]string{wire.JSON: "{}", wire.Msgpack: "\x80"} {
			var res wire.Frame
			err := c.Do(t.Context(), &wire.Frame{Service: "Endless", Method: method, Codec: codec, Payload: []byte(payload)}, &res)
			e := wiretest.WantError(t, err, code.Internal, code.ReasonBadReply)
			if want := "the reply cannot be encoded as " + codec.String(); !strings.Contains(e.Message, want) {
				t.Errorf("%s: %q does not say %q", method, e.Message, want)
			}
		}
		if r, body := h.Post("/Endless/"+method, "{}"); r.StatusCode != http.StatusBadGateway && r.StatusCode != http.StatusInternalServerError {
			t.Errorf("%s over HTTP: %d %s", method, r.StatusCode, body)
		}
		must(t, healthyCall(h))
	}
}

// TestABombForAMethodOfStructsIsRefused has 15 KiB that were 3.3 GiB in memory, and its kind over HTTP.
func TestABombForAMethodOfStructsIsRefused(t *testing.T) {
	p := newPlant(t)
	registry.Plain(basket{}, registry.In(p.reg), registry.As("test.basket"))
	h := hosttest.Start(t, `
services: [{name: Basket, handler: test.basket}, {name: Arith, handler: test.arith}]
`, hosttest.Options{Registry: p.reg})
	items := append([]byte("\x81\xa5Items\xdd\x00\xf0\x00\x00"), strings.Repeat("\xc0", 15<<20)...)
	bomb, err := wire.AppendCompressed(nil, wire.Gzip, items)
	must(t, err)
	c := h.Dial()
	before := heapInUse()
	for range 4 {
		var res wire.Frame
		req := wire.Frame{Service: "Basket", Method: "Count", Codec: wire.Msgpack, Compression: wire.Gzip, Payload: bomb}
		e := wiretest.WantError(t, c.Do(t.Context(), &req, &res), code.ResourceExhausted, code.ReasonTooLarge)
		if !strings.Contains(e.Message, "maxDecompressedBytes") {
			t.Errorf("%q does not name the limit", e.Message)
		}
	}
	body := `{"Items":[` + strings.Repeat("{},", 1_000_000) + "{}]}"
	if r, text := h.Post("/Basket/Count", body); r.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("over HTTP: %d %s", r.StatusCode, text)
	} else if p := problemOf(t, r, text); p.Reason != code.ReasonTooLarge || strings.Contains(p.Detail, "listeners") {
		t.Errorf("over HTTP: %s", text)
	}
	if after := heapInUse(); after > before+192<<20 && !raceEnabled {
		t.Errorf("the heap grew by %d MiB", (after-before)>>20)
	}
	must(t, healthyCall(h))
}

type basket struct{}

type item struct {
	ID, Count, Price, Weight int
	Name, Colour             string
	Tags                     []string
}

func (basket) Count(_ context.Context, a *struct{ Items []item }, r *reply) error {
	r.C = len(a.Items)
	return nil
}

func TestNamesThatCallersInventAreComparedForSoLong(t *testing.T) {
	h := hosttest.Start(t, `services: [{name: Arith, handler: test.arith}]`, hosttest.Options{Registry: newPlant(t).reg})
	c := h.Dial()
	meant, bare := 0, 0
	for i := range 400 {
		var res wire.Frame
		err := c.Do(t.Context(), &wire.Frame{Service: fmt.Sprint("Arit", i%10), Method: "Mul", Codec: wire.JSON, Payload: []byte("{}")}, &res)
		e := wiretest.WantError(t, err, code.Unimplemented, code.ReasonUnknownMethod)
		if strings.Contains(e.Message, "did you mean Arith?") {
			meant++
		} else {
			bare++
		}
	}
	if meant < 20 || bare == 0 {
		t.Errorf("%d of 400 answers have a suggestion, %d have none", meant, bare)
	}
}
