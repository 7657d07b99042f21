package forecast

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/policies"
)

// slowOverflow counts the calls in flight and in the queue one by one.
func slowOverflow(load float64, limit, queue int) float64 {
	blocked, power, waiting := 1.0, 1.0, 0.0
	for n := 1; n <= limit; n++ {
		blocked = load * blocked / (float64(n) + load*blocked)
	}
	for range queue {
		power *= load / float64(limit)
		if waiting += power; power > 1e12 {
			return max(1-float64(limit)/load, 0)
		}
	}
	return blocked * power / (1 + blocked*waiting)
}

// What a limit refuses is found in few steps, however large it and its queue are.
func TestAnOverflowIsFoundInFewSteps(t *testing.T) {
	for _, limit := range []int{1, 2, 7, 64, 65, 100, 999, 5000, maxServers} {
		if steps := limit - firstServer(limit); steps > 800 {
			t.Errorf("%d steps for a limit of %d", steps, limit)
		}
		for _, queue := range []int{0, 1, 10, 1000, maxServers} {
			for _, ratio := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1, 1.001, 1.01, 1.1, 2, 100} {
				load := ratio * float64(limit)
				if got, want := overflow(load, limit, queue), slowOverflow(load, limit, queue); math.Abs(got-want) > 1e-4 {
					t.Errorf("load %v, limit %d, queue %d: %v, want %v", load, limit, queue, got, want)
				}
			}
		}
	}
	if got := overflow(2000, 1000, math.MaxInt); got != 0.5 {
		t.Errorf("endless queue: %v", got)
	}
}

// The work for the rate limits of a span, and the number of cells, are bounded.
func TestTheWorkOfAForecastIsBounded(t *testing.T) {
	for _, buckets := range []int{0, 1, 1000, 100_000, 10_000_000} {
		if n := rounds(buckets); n*buckets > max(maxVisits, minRounds*buckets) || n < minRounds || n > maxRounds {
			t.Errorf("%d rounds for %d buckets", n, buckets)
		}
	}
	rules, err := policies.Compile(nil, []policies.Target{{Service: "Arith", Method: "Mul"}}, nil, policies.Options{})
	if err != nil {
		t.Fatal(err)
	}
	side := Side{Set: new(config.Set), Rules: rules}
	var spans []traffic.Span
	for n := range 60 {
		span := traffic.Span{Length: 5 * time.Second}
		for i := range 1000 {
			span.Rows = append(span.Rows, traffic.Row{Calls: 1, Flow: traffic.Flow{
				Method: "Arith/Mul", Caller: fmt.Sprint("caller-", n), Peer: netip.AddrFrom4([4]byte{10, byte(n), byte(i >> 8), byte(i)}),
			}})
		}
		spans = append(spans, span)
	}
	asked := 0
	r := newRecord(&Edit{Old: side, Next: side}, &Traffic{Spans: spans, Latency: func(string) traffic.Latency {
		asked++
		return traffic.Latency{}
	}})
	var calls float64
	for i := range r.cells {
		calls += r.cells[i].all.calls
	}
	if len(r.cells) > maxCells || len(r.cells) < maxCells/2 || r.calls != 60_000 || calls != r.calls || r.unnamed != 0 || asked != 1 {
		t.Errorf("%d cells, %v of %v calls, %v unnamed", len(r.cells), calls, r.calls, r.unnamed)
	}
}

// Limits of very different rates that the same calls meet are not settled when the rounds end: no bucket is overdrawn then.
func TestBucketsAreNotOverdrawn(t *testing.T) {
	const length = 5 * time.Second
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 1))
		spread := func(from, decades float64) float64 { return math.Pow(10, from+r.Float64()*decades) }
		all := make([]*bucket, 3+r.IntN(30))
		s := buckets{"": {}}
		for i := range all {
			all[i] = &bucket{rate: spread(-3, 6), burst: spread(0, 5)}
			all[i].tokens = all[i].burst
			s[""][fmt.Sprint(i)] = all[i]
		}
		for range 20 {
			demands := make([]demand, 2*len(all))
			for i := range demands {
				demands[i].calls = spread(-1, 6)
				for _, n := range r.Perm(len(all))[:1+r.IntN(3)] {
					demands[i].of = append(demands[i].of, all[n])
				}
			}
			s.serve(demands, length)
			for i := range demands {
				if p := demands[i].pass; math.IsNaN(p) || p <= 0 || p > 1+settled {
					t.Fatalf("seed %d: a ratio of %v passes", seed, p)
				}
			}
			s.refill(length)
		}
	}
}
