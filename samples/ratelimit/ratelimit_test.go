package ratelimit_test

import (
	"encoding/json"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/samples"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

const (
	alice = "secret-of-alice"
	bob   = "secret-of-bob"
)

func mul(t *testing.T, c *wire.Conn, token string) *code.Error {
	t.Helper()
	req := wire.Frame{Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"a":6,"b":7}`)}
	if token != "" {
		req.Metadata.Set(wire.MetaAuth, token)
	}
	return code.From(c.Do(t.Context(), &req, new(wire.Frame)))
}

// spend empties the bucket of a caller and returns the refusal that follows.
func spend(t *testing.T, c *wire.Conn, token string, burst int) *code.Error {
	t.Helper()
	for i := range burst {
		if e := mul(t, c, token); e != nil {
			t.Fatalf("call %d of %d: %v", i+1, burst, e)
		}
	}
	e := mul(t, c, token)
	if e == nil || e.Reason != code.ReasonRateLimited {
		t.Fatalf("after %d calls: %+v, want a refusal", burst, e)
	}
	return e
}

func TestEachCallerHasABucketOfItsOwn(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	c := h.Dial()
	for _, token := range []string{alice, bob, ""} {
		e := spend(t, c, token, 3)
		if e.Rule != "per-caller@r1" || e.RetryAfter <= 0 || e.RetryAfter > 10*time.Second {
			t.Errorf("%q: %+v", token, e)
		}
	}
	res, body := h.Post("/Arith/Mul", `{"a":6,"b":7}`, "Authorization", "Bearer "+alice)
	if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" {
		t.Errorf("over HTTP Alice is another caller: %s %s", res.Status, body)
	}
}

func TestAnUnknownTokenIsUnauthenticated(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	if e := mul(t, h.Dial(), "guess"); e == nil || e.Code != code.Unauthenticated {
		t.Errorf("over rpcx: %+v", e)
	}
	if res, body := h.Post("/Arith/Mul", `{}`, "Authorization", "Bearer guess"); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("over HTTP: %s %s", res.Status, body)
	}
}

// One token per 100 ms, and a wait of at most 250 ms: of ten concurrent calls some are served in turn, and the rest are
// refused at once. Tokens arrive at the ticks of the bucket, so the first may arrive up to a tick early.
func TestCallsAreQueuedUpToMaxWait(t *testing.T) {
	c := hosttest.StartCopy(t, ".", hosttest.Options{}).Dial()
	const calls, pace = 10, 100 * time.Millisecond
	var (
		mu              sync.Mutex
		served, refused int
		all             sync.WaitGroup
	)
	start := time.Now()
	for range calls {
		all.Go(func() {
			var got samples.Reply
			err := hosttest.CallJSON(t.Context(), c, "Arith", "Div", samples.Args{A: 6, B: 2}, &got)
			mu.Lock()
			defer mu.Unlock()
			switch e := code.From(err); {
			case e == nil:
				served++
			case e.Rule == "div-pace@r1":
				refused++
			default:
				t.Errorf("%+v", e)
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	if most := 2 + int((took+250*time.Millisecond)/pace); served < 3 || served > most || refused != calls-served {
		t.Errorf("%d served (at most %d), %d refused in %s", served, most, refused, took)
	}
	if least := time.Duration(served-2) * pace; took < least {
		t.Errorf("%d served in %s: none was queued", served, took)
	}
}

func TestAShadowRuleOnlyCounts(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	c := h.Dial()
	for range 3 {
		if e := mul(t, c, alice); e != nil {
			t.Fatal(e)
		}
	}
	x, err := h.Admin.Explain(t.Context(), admin.ExplainQuery{Service: "Arith", Method: "Mul", Caller: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(x)
	if len(x.Kinds) != 1 || len(x.Kinds[0].Applies) != 2 {
		t.Fatalf("%s", text)
	}
	for _, r := range x.Kinds[0].Applies {
		if r.Rule == "mul-trial" && (r.Mode != "shadow" || r.Decisions.ShadowReject != 2 || r.Decisions.Reject != 0) {
			t.Errorf("%s", text)
		}
	}
}

func TestASavedRateAppliesAtOnce(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	c := h.Dial()
	spend(t, c, alice, 3)
	h.Edit("policies.yaml", "rate: 1, per: 10s, burst: 3", "rate: 1000, per: 1s, burst: 1000")
	const change = "per-caller: rateLimit.rate 1 → 1000, per 10s → 1s, burst 3 → 1000 (policies.yaml:6)"
	if r := h.Revision(); r.Changes.String() != change {
		t.Fatalf("%s: %s %v, want %s", r.Result, r.Changes, r.Problems, change)
	}
	for deadline := time.Now().Add(10 * time.Second); ; { // the bucket is still empty, and fills a hundred times faster
		if e := mul(t, c, alice); e == nil {
			return
		} else if time.Now().After(deadline) || e.RetryAfter > 10*time.Millisecond {
			t.Fatal(e)
		}
	}
}

func TestTheHostsOwnLimitsAreLive(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	limits := func() [2]int64 {
		s, err := h.Admin.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return [2]int64{s.Budget.MaxInFlight, s.Budget.MaxBufferedBytes}
	}
	if got := limits(); got != [2]int64{2000, 64 << 20} {
		t.Errorf("%v", got)
	}
	h.Edit("easymicro.yaml", "maxInFlight: 2000", "maxInFlight: 3000")
	if r := h.Revision(); r.Result != "applied" {
		t.Fatalf("%s %v", r.Result, r.Problems)
	}
	if got := limits(); got != [2]int64{3000, 64 << 20} {
		t.Errorf("after the edit: %v", got)
	}
}
