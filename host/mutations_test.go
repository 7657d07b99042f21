package host_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// mutator makes mistakes in files, the same ones for the same seed.
type mutator struct{ *rand.Rand }

// mutate returns a text with a mistake, or with some.
func (m mutator) mutate(text string) (mutated, how string) {
	var did []string
	for range max(m.IntN(6)-2, 1) {
		i := m.IntN(len(mistakes))
		text = mistakes[i].make(m, text)
		did = append(did, mistakes[i].name)
		if text == "" {
			break
		}
	}
	return text, strings.Join(did, ", ")
}

// lines splits a text for a change of one of its lines.
func (m mutator) lines(text string) (list []string, at int) {
	list = strings.SplitAfter(text, "\n")
	return list, m.IntN(len(list))
}

// word returns the bounds of a word of a text: a key, name or number.
func (m mutator) word(text string) (from, to int) {
	isWord := func(c byte) bool { return c > ' ' && !strings.ContainsRune(":,[]{}#'\"", rune(c)) }
	from = m.IntN(len(text))
	for from > 0 && !isWord(text[from]) {
		from--
	}
	for from > 0 && isWord(text[from-1]) {
		from--
	}
	for to = from; to < len(text) && isWord(text[to]); {
		to++
	}
	return from, to
}

// replaceWord puts something else in the place of a word.
func (m mutator) replaceWord(text string, by ...string) string {
	from, to := m.word(text)
	return text[:from] + by[m.IntN(len(by))] + text[to:]
}

// mistakes are what editors, people and templates do to files.
var mistakes = [...]struct {
	name string
	make func(m mutator, text string) string
}{
	{"cut", func(m mutator, text string) string { return text[:m.IntN(len(text))] }},
	{"swap lines", func(m mutator, text string) string {
		list, i := m.lines(text)
		j := m.IntN(len(list))
		list[i], list[j] = list[j], list[i]
		return strings.Join(list, "")
	}},
	{"duplicate a line", func(m mutator, text string) string {
		list, i := m.lines(text)
		return strings.Join(list[:i], "") + list[i] + strings.Join(list[i:], "")
	}},
	{"remove a line", func(m mutator, text string) string {
		list, i := m.lines(text)
		return strings.Join(list[:i], "") + strings.Join(list[i+1:], "")
	}},
	{"indent a line", func(m mutator, text string) string {
		list, i := m.lines(text)
		list[i] = []string{" ", "  ", "\t"}[m.IntN(3)] + list[i]
		return strings.Join(list, "")
	}},
	{"retype", func(m mutator, text string) string {
		return m.replaceWord(text, "many", "5", "true", "null", "[]", "{}", "''", "~", "2026-01-01", "!!binary aGk=", "0x10", "[[1]]", "{a: {b: c}}", "!!int x", ".nan")
	}},
	{"rename", func(m mutator, text string) string {
		from, to := m.word(text)
		if to-from < 2 {
			return text
		}
		i := from + m.IntN(to-from-1)
		return text[:i] + text[i+1:i+2] + text[i:i+1] + text[i+2:]
	}},
	{"one word for another", func(m mutator, text string) string {
		from, to := m.word(text)
		return m.replaceWord(text, text[from:to])
	}},
	{"blow up", func(m mutator, text string) string {
		return m.replaceWord(text, "1e300", "-1", "0", "99999999999999999999", "1e-300", ".inf", "9223372036854775807h", "1000000000", "0.0000001", "100000%", "8760h", "1ns", strings.Repeat("9", 5000), strings.Repeat("x", 100_000))
	}},
	{"alias", func(m mutator, text string) string {
		from, to := m.word(text)
		anchored := text[:from] + "&x " + text[from:to] + text[to:]
		return m.replaceWord(anchored, "*x", "*y", "<<: *x", "&x [*x]", "&x {a: *x}")
	}},
	{"a byte more", func(m mutator, text string) string {
		i := m.IntN(len(text) + 1)
		return text[:i] + []string{"\x00", "\xff", "\ufeff", "{", "}", "[", "]", ":", "-", "'", "\"", "*", "&", "!", "|", "%", "@", "\r", "\u2028", "---\n", "...\n"}[m.IntN(21)] + text[i:]
	}},
	{"a byte less", func(m mutator, text string) string {
		i := m.IntN(len(text))
		return text[:i] + text[i+1:]
	}},
}

// mutatedFiles are a set that uses much of what there is.
var mutatedFiles = map[string]string{
	"easymicro.yaml": `host: {labels: {zone: a}}
listeners: [{name: main, address: "127.0.0.1:0", limits: {idleTimeout: 5m}}]
services:
  - {name: Arith, handler: test.arith, aliases: [Sums], methods: {expose: [Mul, Div]}, metadata: {weight: "3"}}
  - {name: Other, handler: test.arith, accessLog: false}
  - {name: Tuned, handler: test.tuned, options: {value: 3}}
  - {name: Desk, handler: test.desk, uses: {till: till}}
  - {name: Desk2, handler: test.desk, uses: {till: bank}}
upstreams:
  - {name: till, service: Till, resolve: {endpoints: ["127.0.0.1:1"]}}
  - {name: bank, service: Bank, resolve: {endpoints: ["127.0.0.1:2", "127.0.0.1:3"]}}
gateway:
  routes: [{path: /v1/mul, methods: [POST], service: Arith, method: Mul}]
  get: [Arith.Div]
  cors: {allowOrigins: ["https://app.example"]}
auth: {identify: [token], tokens: {file: tokens.yaml}}
policies:
  files: [policies.d/*.yaml]
  watch: {debounce: 1m, maxDelay: 5m, poll: 24h}
  autoRollback: {window: 1s, minRequests: 50}
`,
	"policies.d/10.yaml": `rules:
  - {name: rate, match: {service: Arith}, rateLimit: {rate: 100000, burst: 1000, key: caller, maxKeys: 100}}
  - {name: slots, match: {service: "*"}, concurrency: {max: 500, queue: 10, queueTimeout: 50ms}}
  - {name: time, match: {service: Arith, method: Mul}, timeout: 5s}
  - {name: breaker, match: {service: Arith}, circuitBreaker: {window: 10s, minRequests: 20, failureRate: 50%, openTimeout: 1s}}
  - {name: peers, match: {service: Other, peer: [10.0.0.0/8, "::1"]}, rateLimit: {rate: 5, per: 1m, burst: 5, onExceed: wait, maxWait: 20ms}}
  - {name: some, match: {service: Arith, except: {caller: [ops, "b*"]}}, enforceShare: 50%, timeout: 6s}
`,
	"policies.d/20.yaml": `rules:
  - name: dry
    description: what it would do
    match: {service: Other}
    mode: shadow
    expires: 2099-12-31T00:00:00Z
    rateLimit:
      rate: 10
      burst: 20
  - name: out
    match: {upstream: till}
    timeout: 1s
    retry:
      maxAttempts: 3
      retryOn: [UNAVAILABLE]
      budget: 20%
  - name: ejects
    match: {upstream: "b*"}
    outlierDetection: {consecutiveFailures: 5, interval: 10s}
`,
	"tokens.yaml": tokensFile("partner-token", ", expires: 2099-01-01T00:00:00Z") + tokensFile("second-token", ""),
}

// mutations returns how many edits each host gets, and the first seed.
func mutations() (edits int, seed uint64) {
	if os.Getenv("TEST_EASYMICRO_LONG") != "" {
		return 1000, uint64(time.Now().UnixNano())
	}
	return 60, 20261130
}

// Whatever is done to valid files, the edit is applied or rejected with its place, the process lives, calls fail by a rule in force
// only, and what the hosts hold does not grow.
func TestMutatedFilesAreAppliedOrRejectedWithTheirPlace(t *testing.T) {
	edits, first := mutations()
	hosts := make([]*mutated, 4) // each rejected edit is read again after a moment
	for i := range hosts {
		hosts[i] = newMutated(t)
	}
	before, goroutines := heapInUse(), runtime.NumGoroutine()
	t.Run("hosts", func(t *testing.T) {
		for i, h := range hosts {
			t.Run(fmt.Sprintf("seed %d", first+uint64(i)), func(t *testing.T) {
				t.Parallel()
				h.mutate(t, first+uint64(i), edits)
			})
		}
	})
	var after uint64
	eventually(t, "what the edits held is released", func() bool {
		after = heapInUse()
		return after < before+mutatedHeap && runtime.NumGoroutine() < goroutines+50
	})
	t.Logf("%d edits: heap %.1f to %.1f MiB, goroutines %d to %d", len(hosts)*edits, float64(before)/(1<<20), float64(after)/(1<<20), goroutines, runtime.NumGoroutine())
}

// mutatedHeap bounds what hosts hold after edits: the revisions that they remember, with their files, are the most of it.
const mutatedHeap = 16 << 20

// mutated is a host under load whose files are mutated.
type mutated struct {
	*hosttest.Host
	calls *calling
}

func newMutated(t *testing.T) *mutated {
	files := maps.Clone(mutatedFiles)
	delete(files, "easymicro.yaml")
	h := hosttest.Start(t, mutatedFiles["easymicro.yaml"], hosttest.Options{Registry: deskPlant(t).reg, Files: files, Log: io.Discard})
	m := &mutated{h, keepCalling(t, h)}
	awaitThat(t, "calls", func() bool { return m.calls.ok.Load() > 100 })
	return m
}

// mutate makes edits of the files of a host.
func (h *mutated) mutate(t *testing.T, seed uint64, edits int) {
	m := mutator{rand.New(rand.NewPCG(seed, 0))}
	names := []string{"easymicro.yaml", "policies.d/10.yaml", "policies.d/10.yaml", "policies.d/20.yaml", "tokens.yaml"}
	results, listeners := make(map[string]int), 0
	for i := range edits {
		name := names[m.IntN(len(names))]
		text, how := m.mutate(mutatedFiles[name])
		about := fmt.Sprintf("edit %d of seed %d, of %s (%s)", i, seed, name, how)
		h.Write(name, text)
		began := time.Now()
		r, err := h.Reload(t.Context(), host.SourceAdmin, "")
		if err != nil && r.Result != host.ResultRejected {
			t.Fatalf("%s: %v", about, err)
		}
		results[r.Result]++
		if took := time.Since(began); took > slack*10*time.Second {
			t.Errorf("%s took %v", about, took)
		}
		if what := misplaced(&r); what != "" {
			t.Errorf("%s: %s %s\n%s", about, r.Result, what, clipped(text))
		}
		if slices.ContainsFunc(r.Changes, func(c config.Change) bool { return strings.Contains(" "+c.Subject+" "+c.Text, " listener") }) {
			listeners++
		}
		h.Write(name, mutatedFiles[name])
	}
	r, err := h.Reload(t.Context(), host.SourceAdmin, "")
	if err != nil || r.Result == host.ResultRejected {
		t.Fatalf("the valid files again: %s %v %v", r.Result, r.Problems, err)
	}
	served := h.calls.ok.Load()
	awaitThat(t, "calls", func() bool { return h.calls.ok.Load() > served+100 })
	t.Logf("%v, %d with other listeners; %d calls served, %d not by a rule, %d on to another listener",
		results, listeners, h.calls.ok.Load(), h.calls.byRule.Load(), h.calls.moved.Load())
	if results[host.ResultApplied] == 0 || results[host.ResultRejected] == 0 {
		t.Errorf("results %v: some should be applied, and some rejected", results)
	}
	if h.calls.moved.Load() > 0 && listeners == 0 {
		t.Errorf("%d connections were drained, though no listener was changed", h.calls.moved.Load())
	}
}

// misplaced says what is wrong with an outcome; empty: nothing.
func misplaced(r *host.Attempt) string {
	switch r.Result {
	case host.ResultApplied, host.ResultUnchanged, host.ResultHeld:
		return ""
	case host.ResultRejected:
	default:
		return "is not a result of an edit"
	}
	if len(r.Problems) == 0 {
		return "without problems: " + r.Error
	}
	for _, p := range r.Problems {
		if p.File == "" || p.Line == 0 || p.Message == "" {
			return "without a place: " + p.String()
		}
		if strings.Contains(p.String(), "internal error") {
			return p.String()
		}
	}
	return ""
}

func clipped(text string) string { return code.Clip(text, 3000) }

// calling counts calls, and the times that they had to go to another listener.
type calling struct{ ok, byRule, moved atomic.Int64 }

// keepCalling calls until the test ends, and fails it for calls that fail otherwise than by a rule in force, or since what they call
// or their token is not there. It dials again when its listener is taken away, as clients do.
func keepCalling(t *testing.T, h *hosttest.Host) *calling {
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var calls sync.WaitGroup
	t.Cleanup(func() {
		stop()
		calls.Wait()
	})
	c := new(calling)
	for _, target := range [][2]string{{"Arith", "Mul"}, {"Sums", "Div"}, {"Other", "Mul"}, {"Tuned", "Get"}} {
		calls.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			var conn *wire.Conn
			defer func() {
				if conn != nil {
					_ = conn.Close()
				}
			}()
			for ; ctx.Err() == nil; <-tick.C {
				if conn == nil {
					conn = dialFirst(ctx, h)
					continue
				}
				req := wire.Frame{Service: target[0], Method: target[1], Codec: wire.JSON, Payload: []byte(`{"a": 1, "b": 1}`)}
				req.Metadata.Set(wire.MetaAuth, "partner-token")
				err := conn.Do(ctx, &req, new(wire.Frame))
				e := code.From(err)
				switch {
				case ctx.Err() != nil:
				case e == nil:
					c.ok.Add(1)
				case e.Rule != "", e.Reason == code.ReasonUnknownMethod, e.Reason == code.ReasonUnauthenticated:
					c.byRule.Add(1)
				case e.Reason == code.ReasonDraining, e.Reason == code.ReasonNoEndpoint: // it was not run
					c.moved.Add(1)
					_ = conn.Close()
					conn = nil
				default:
					t.Errorf("a call of %s failed: %v (%s)", strings.Join(target[:], "."), err, e.Reason)
					return
				}
			}
		})
	}
	return c
}

// dialFirst dials the first listener of a host; nil: there is none now.
func dialFirst(ctx context.Context, h *hosttest.Host) *wire.Conn {
	address := h.Addr(h.Set().Manifest.Listeners[0].Name)
	if address == nil {
		return nil
	}
	conn, err := wire.Dial(ctx, address.Network(), address.String(), wire.ConnOptions{})
	if err != nil {
		return nil
	}
	return conn
}
