package forecast_test

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/forecast"
	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

var targets = []policies.Target{{Service: "Arith", Method: "Mul"}, {Service: "Arith", Method: "Div"}}

// caller makes calls at random, at a mean rate.
type caller struct {
	name, method, peer string
	rate               float64
	took               func(*rand.Rand) time.Duration // nil: 1 ms
	fails              float64
	even               bool // at even distances
}

// scene records the calls of callers.
type scene struct {
	*testing.T
	sketch  *traffic.Sketch
	methods map[string]*traffic.Method
	random  *rand.Rand
	callers []caller
}

func newScene(t *testing.T, callers []caller) *scene {
	s := &scene{t, traffic.NewSketch(), make(map[string]*traffic.Method), rand.New(rand.NewPCG(3, 4)), callers}
	for _, target := range targets {
		s.methods[target.String()] = traffic.New()
	}
	return s
}

// counts has the calls by their rule's answer: "" is none, "all" is all of them.
type counts struct {
	sync.Mutex
	by map[string]float64
}

func (c *counts) add(what string) {
	c.Lock()
	defer c.Unlock()
	c.by[what]++
}

// play makes calls for some time, and returns how many each rule has refused or ended.
func (s *scene) play(rules *policies.Snapshot, length time.Duration) *counts {
	seen := &counts{by: make(map[string]float64)}
	var calls, callers sync.WaitGroup
	for _, c := range s.callers {
		random := rand.New(rand.NewPCG(s.random.Uint64(), 1))
		callers.Go(func() {
			for end := time.Now().Add(length); time.Now().Before(end); {
				gap := 1 / c.rate
				if !c.even {
					gap = random.ExpFloat64() / c.rate
				}
				time.Sleep(time.Duration(gap * float64(time.Second)))
				took, fails := time.Millisecond, random.Float64() < c.fails
				if c.took != nil {
					took = c.took(random)
				}
				calls.Go(func() { s.call(rules, &c, took, fails, seen) })
			}
		})
	}
	callers.Wait()
	calls.Wait()
	return seen
}

func (s *scene) call(rules *policies.Snapshot, c *caller, took time.Duration, fails bool, seen *counts) {
	begin, peer := time.Now(), netip.MustParseAddr(cmp.Or(c.peer, "10.0.0.1"))
	service, method, _ := strings.Cut(c.method, "/")
	var ticket policies.Ticket
	err := rules.Guard(policies.Target{Service: service, Method: method}).Enter(
		context.Background(), &policies.Call{Caller: c.name, Peer: peer, Arrived: begin}, &ticket)
	admitted, refused := err == nil, err != nil
	if admitted {
		var end error
		if fails {
			end = code.Errorf(code.Unavailable, "down")
		}
		if at, ok := ticket.Deadline(); ok && begin.Add(took).After(at) {
			time.Sleep(time.Until(at))
			err, refused = ticket.Late(), true
		} else {
			time.Sleep(took)
			err = end
		}
		ticket.Done(end)
	}
	e, is, rule := code.From(err), code.OK, ""
	if e != nil {
		is = e.Code
	}
	if refused {
		rule, _, _ = strings.Cut(e.Rule, "@")
	}
	now := time.Now()
	s.sketch.Observe(traffic.Here(), s.methods[c.method], now, now.Sub(begin), traffic.Flow{Method: c.method, Caller: cmp.Or(c.name, policies.Anonymous), Peer: peer, Code: is, Refused: refused})
	seen.add(rule)
	seen.add("all")
}

// side compiles rules.
func (s *scene) side(text string, prev *policies.Snapshot) forecast.Side {
	s.Helper()
	rules, problems := config.DecodeRules("10.yaml", []byte("rules:\n"+text), nil)
	if len(problems) > 0 {
		s.Fatal(problems)
	}
	compiled, err := policies.Compile(rules, targets, prev, policies.Options{})
	if err != nil {
		s.Fatal(err)
	}
	return forecast.Side{Set: &config.Set{Rules: rules}, Rules: compiled}
}

func (s *scene) forecast(old, next forecast.Side) *admin.Forecast {
	return forecast.Of(
		&forecast.Edit{Old: old, Next: next, Changes: config.Diff(old.Set, next.Set), Bounds: &config.AutoRollback{MaxNewRefusals: 0.5, MinRequests: 100}},
		&forecast.Traffic{
			Spans: s.sketch.Record(time.Now()), Latency: func(m string) traffic.Latency { return s.methods[m].Latency(time.Now()) },
		})
}

func between(low, high time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return low + time.Duration(r.Int64N(int64(high-low))) }
}

// What was forecast happens.
func TestAForecastComesTrue(t *testing.T) {
	web := func(rate float64) caller { return caller{name: "web", method: "Arith/Mul", rate: rate} }
	three := []caller{{name: "web", method: "Arith/Mul", rate: 80}, {name: "batch", method: "Arith/Mul", rate: 20}, {method: "Arith/Div", rate: 50, peer: "10.1.0.7"}}
	slow := []caller{{name: "web", method: "Arith/Mul", rate: 100, took: between(0, 100*time.Millisecond)}}
	failing := func(share float64) []caller {
		return []caller{{name: "web", method: "Arith/Mul", rate: 50, fails: share}}
	}
	for name, c := range map[string]struct {
		callers   []caller
		old, next string
		within    float64 // default 0.02
		exceeds   bool
	}{
		"a deny of a caller": {callers: three, next: `  - {name: x, match: {service: Arith}, access: {deny: [{caller: batch}]}}`},
		"an allow for a method": {
			callers: three, old: `  - {name: x, match: {service: Arith}, access: {allow: [{caller: "*"}]}}`,
			next: `  - {name: x, match: {service: Arith}, access: {allow: [{caller: web}, {caller: anonymous, methods: [Mul]}]}}`, exceeds: true,
		},
		"a deny of peers":  {callers: three, next: `  - {name: x, match: {service: Arith, peer: 10.1.0.0/16}, access: {deny: [{caller: "*"}]}}`, exceeds: true},
		"a share of peers": {callers: three, next: `  - {name: x, match: {service: Arith}, enforceShare: 50%, access: {deny: [{caller: "*b*"}]}}`},
		"a much lower rate": {
			callers: []caller{web(500)}, exceeds: true,
			old: `  - {name: x, match: {service: Arith}, rateLimit: {rate: 10000}}`, next: `  - {name: x, match: {service: Arith}, rateLimit: {rate: 1}}`,
		},
		"a lower rate": {
			callers: []caller{web(500)},
			old:     `  - {name: x, match: {service: Arith}, rateLimit: {rate: 450}}`, next: `  - {name: x, match: {service: Arith}, rateLimit: {rate: 300}}`,
		},
		"a higher rate": {
			callers: []caller{web(500)},
			old:     `  - {name: x, match: {service: Arith}, rateLimit: {rate: 100}}`, next: `  - {name: x, match: {service: Arith}, rateLimit: {rate: 400}}`,
		},
		"a rate for each caller":     {callers: three, next: `  - {name: x, match: {service: Arith}, rateLimit: {rate: 30, key: caller}}`},
		"a rate for each method":     {callers: three, next: `  - {name: x, match: {service: Arith}, rateLimit: {rate: 40, key: method}}`, exceeds: true},
		"a rate for each peer":       {callers: three, next: `  - {name: x, match: {service: Arith}, rateLimit: {rate: 60, key: peer}}`},
		"a rate that calls wait for": {callers: []caller{web(100)}, next: `  - {name: x, match: {service: Arith}, rateLimit: {rate: 60, onExceed: wait, maxWait: 500ms}}`},
		"a rate beside another": {
			callers: three, exceeds: true, old: `  - {name: other, match: {method: Mul, service: Arith}, rateLimit: {rate: 50}}`,
			next: `  - {name: other, match: {method: Mul, service: Arith}, rateLimit: {rate: 50}}
  - {name: x, match: {service: Arith}, rateLimit: {rate: 60}}`,
		},
		"a rate behind an access rule": {
			callers: three, old: `  - {name: other, match: {service: Arith}, access: {deny: [{caller: batch}]}}`,
			next: `  - {name: other, match: {service: Arith}, access: {deny: [{caller: batch}]}}
  - {name: x, match: {service: Arith, method: Mul}, rateLimit: {rate: 60}}`,
		},
		"a timeout":         {callers: slow, next: `  - {name: x, match: {service: Arith}, timeout: 80ms}`},
		"a shorter timeout": {callers: slow, old: `  - {name: x, match: {service: Arith}, timeout: 90ms}`, next: `  - {name: x, match: {service: Arith}, timeout: 30ms}`, exceeds: true},
		"a concurrency limit": {
			callers: slow, within: 0.1,
			old: `  - {name: x, match: {service: Arith}, concurrency: {max: 100}}`, next: `  - {name: x, match: {service: Arith}, concurrency: {max: 4}}`,
		},
		"a concurrency limit with a queue": {callers: slow, within: 0.1, next: `  - {name: x, match: {service: Arith}, concurrency: {max: 4, queue: 4}}`},
		"a wide concurrency limit":         {callers: slow, within: 0.1, next: `  - {name: x, match: {service: Arith}, concurrency: {max: 20}}`},
		"calls at even distances in flight": {
			callers: []caller{{name: "web", method: "Arith/Mul", rate: 100, even: true, took: between(75*time.Millisecond, 85*time.Millisecond)}},
			within:  0.1, next: `  - {name: x, match: {service: Arith}, concurrency: {max: 5}}`,
		},
		"a breaker":                      {callers: failing(0.6), within: 0.1, exceeds: true, next: `  - {name: x, match: {service: Arith}, circuitBreaker: {failureRate: 50%, openTimeout: 2s}}`},
		"a breaker of failures in a row": {callers: failing(0.3), within: 0.1, exceeds: true, next: `  - {name: x, match: {service: Arith}, circuitBreaker: {consecutiveFailures: 3, openTimeout: 2s}}`},
		"a breaker that stays closed":    {callers: failing(0.1), within: 0.1, next: `  - {name: x, match: {service: Arith}, circuitBreaker: {failureRate: 50%}}`},
		"a breaker that opens by chance": {callers: failing(0.3), within: 0.1, next: `  - {name: x, match: {service: Arith}, circuitBreaker: {window: 100ms, minRequests: 5, failureRate: 50%, openTimeout: 200ms}}`},
		"a breaker of slow calls":        {callers: slow, within: 0.1, next: `  - {name: x, match: {service: Arith}, circuitBreaker: {slowCallDuration: 40ms, slowCallRate: 50%, openTimeout: 1s}}`, exceeds: true},
		"another threshold": {
			callers: failing(0.6), within: 0.1, old: `  - {name: x, match: {service: Arith}, circuitBreaker: {failureRate: 90%, openTimeout: 2s}}`,
			next: `  - {name: x, match: {service: Arith}, circuitBreaker: {failureRate: 40%, openTimeout: 2s}}`, exceeds: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, c.callers)
				const length = 2 * time.Minute
				old := s.side(cmp.Or(c.old, "  []"), nil)
				before := s.play(old.Rules, length)
				next := s.side(c.next, old.Rules)
				f := s.forecast(old, next)
				next.Rules.Activate()
				after := s.play(next.Rules, length)
				var found *admin.Finding
				for i := range f.Findings {
					if f.Findings[i].Rule == "x" {
						found = &f.Findings[i]
					}
				}
				if found == nil || found.Calls == 0 {
					t.Fatalf("no forecast: %q", f.Lines())
				}
				t.Log(found)
				within, all := cmp.Or(c.within, 0.02), float64(f.Calls)
				was, is := before.by["x"]/before.by["all"], after.by["x"]/after.by["all"]
				if got := float64(found.RefusedBefore) / all; math.Abs(got-was) > within {
					t.Errorf("%.3f of the calls are said to be refused before, and %.3f are", got, was)
				}
				if got := float64(found.Refused) / all; math.Abs(got-is) > within {
					t.Errorf("%.3f of the calls are said to be refused, and %.3f are", got, is)
				}
				if passed := before.by[""] / before.by["all"]; math.Abs(float64(f.Passed)/all-passed) > within {
					t.Errorf("%.3f of the calls are said to pass before, and %.3f do", float64(f.Passed)/all, passed)
				}
				if (f.Exceeds != "") != c.exceeds {
					t.Errorf("exceeds is %q", f.Exceeds)
				}
			})
		})
	}
}

// Each rule refuses calls, and the forecast says so, or why it cannot.
func TestEveryKindIsForecast(t *testing.T) {
	blocks := map[config.Kind]string{
		config.KindAccess: "{deny: [{caller: web}]}", config.KindRateLimit: "{rate: 1}", config.KindCircuitBreaker: "{consecutiveFailures: 1}",
		config.KindConcurrency: "{max: 1}", config.KindTimeout: "500ms", config.KindPriority: "low", config.KindShed: "{cpuAbove: 85%}",
	}
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, []caller{{name: "web", method: "Arith/Mul", rate: 20, fails: 1, took: between(time.Second, 2*time.Second)}})
		old := s.side("  []", nil)
		s.play(old.Rules, 30*time.Second)
		for _, kind := range config.ServerKinds() {
			next := s.side("  - {name: x, match: {service: Arith}, "+string(kind)+": "+blocks[kind]+"}", old.Rules)
			f := s.forecast(old, next)
			if len(f.Findings) != 1 || f.Findings[0].Kind != kind || f.Findings[0].Refused == 0 && f.Findings[0].NotForecast == "" {
				t.Errorf("%s: %q", kind, f.Lines())
			}
		}
	})
}

// What the record does not have is said, and is not counted.
func TestWhatIsNotKnownIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, nil)
		record := func(calls int, f traffic.Flow) {
			f.Method = "Arith/Mul"
			for range calls {
				s.sketch.Observe(traffic.Here(), s.methods[f.Method], time.Now(), time.Millisecond, f)
			}
		}
		record(1000, traffic.Flow{Caller: "web"})
		record(500, traffic.Flow{Code: code.Unauthenticated, Refused: true}) // before the rules
		for i := range 5000 {
			record(1, traffic.Flow{Caller: fmt.Sprint("tenant-", i)})
		}
		s.sketch.Observe(traffic.Here(), nil, time.Now(), time.Millisecond, traffic.Flow{Others: traffic.OtherMethods})
		time.Sleep(10 * time.Second)
		old := s.side("  []", nil)
		for rule, want := range map[string]string{
			`access: {deny: [{caller: web}]}`:                      `rule x added: its access would refuse .* % of .*; most affected: web to Arith.Mul \(all\); not for [0-9,]+ further calls: there are too many callers to count the calls of each; .*`,
			`rateLimit: {rate: 1, key: [caller, metadata.tenant]}`: `rule x added: its rateLimit cannot be forecast: its key has metadata.tenant; .*`,
			`rateLimit: {rate: 1, per: 24h}`:                       `rule x added: its rateLimit would refuse 99.98 % of .*; 1 further calls are not counted: there are too many methods to record the calls of each`,
			`mode: shadow, timeout: 1s`:                            ``,
			`concurrency: {max: 1000}`:                             `rule x added: its concurrency would refuse none of .*; rough: .*; 1 further calls are not counted: .*`,
		} {
			f := s.forecast(old, s.side("  - {name: x, match: {service: Arith}, "+rule+"}", old.Rules))
			if got := strings.Join(f.Lines(), "; "); !regexp.MustCompile("^" + want + "$").MatchString(got) {
				t.Errorf("%s: %s", rule, got)
			}
			if f != nil && f.Calls != 6000 {
				t.Errorf("%s: of %d calls", rule, f.Calls)
			}
		}
		removed := s.forecast(s.side("  - {name: x, match: {service: Arith}, access: {deny: [{caller: web}]}}", nil), s.side("  []", nil))
		if got := removed.Lines(); len(got) != 2 || !strings.HasPrefix(got[0], "enforced rule x removed: its access would refuse none of ") || !strings.Contains(got[0], " now)") {
			t.Errorf("%q", got)
		}
	})
	s := newScene(t, nil)
	f := s.forecast(s.side("  []", nil), s.side("  - {name: x, match: {service: Arith}, timeout: 1s}", nil))
	if got := f.Lines(); !slices.Equal(got, []string{"no calls in the last five minutes"}) || f.Exceeds != "" {
		t.Errorf("without calls: %q", got)
	}
}

// A certificate that is renewed has no forecast.
func TestNewContentOfAFileIsNotForecast(t *testing.T) {
	side := forecast.Side{Set: new(config.Set)}
	renewed := config.Change{Subject: "host.pem", Text: "host.pem content changed", Op: config.OpChange, Effect: config.Changed}
	if f := forecast.Of(&forecast.Edit{Old: side, Next: side, Changes: config.Changes{renewed}}, new(forecast.Traffic)); f != nil {
		t.Errorf("%q", f.Lines())
	}
}

func BenchmarkOf(b *testing.B) {
	rules := func(rate string) string {
		return "  - {name: x, match: {service: Arith}, rateLimit: {rate: " + rate + ", key: caller}}"
	}
	sketch := traffic.NewSketch()
	begin := time.Now()
	for span := range 60 {
		for i := range 1000 {
			sketch.Observe(traffic.Here(), nil, begin.Add(time.Duration(span)*5*time.Second), time.Millisecond, traffic.Flow{Method: "Arith/Mul", Caller: fmt.Sprint("c", i)})
		}
	}
	side := func(text string) forecast.Side {
		list, _ := config.DecodeRules("10.yaml", []byte("rules:\n"+text), nil)
		compiled, err := policies.Compile(list, targets, nil, policies.Options{})
		if err != nil {
			b.Fatal(err)
		}
		return forecast.Side{Set: &config.Set{Rules: list}, Rules: compiled}
	}
	old, next := side(rules("10")), side(rules("1"))
	e := &forecast.Edit{Old: old, Next: next, Changes: config.Diff(old.Set, next.Set)}
	for b.Loop() {
		forecast.Of(e, &forecast.Traffic{Spans: sketch.Record(begin.Add(5 * time.Minute)), Latency: func(string) traffic.Latency { return traffic.Latency{} }})
	}
}
