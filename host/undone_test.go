package host_test

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
)

// stream is calls that a test makes all the time.
type stream struct {
	caller  string // empty: no token
	service string // default: Arith
	method  string
	path    string       // over HTTP; default: over rpcx
	client  *http.Client // default: that for HTTP/1.1
	n       int          // in 10 ms; default: 5
	within  time.Duration
	busy    bool // as many as can be, from n goroutines
}

// running counts the calls of streams.
type running struct{ ok, failed atomic.Int64 }

// run makes the calls until the test ends, or end is called.
func (s *running) run(t *testing.T, h *hosttest.Host, list ...stream) (end func()) {
	conns := make([]*wire.Conn, len(list)) // closed after the last call
	for i := range list {
		conns[i] = h.Dial()
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var calls sync.WaitGroup
	end = func() {
		stop()
		calls.Wait()
	}
	t.Cleanup(end)
	for i, of := range list {
		if of.n == 0 {
			of.n = 5
		}
		if of.service == "" {
			of.service = "Arith"
		}
		conn := conns[i]
		calls.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				for range of.n {
					calls.Go(func() {
						for again := true; again; again = of.busy && ctx.Err() == nil {
							if of.call(ctx, h, conn) == nil {
								s.ok.Add(1)
							} else {
								s.failed.Add(1)
							}
						}
					})
				}
				if of.busy {
					return
				}
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	return end
}

func (s *stream) call(ctx context.Context, h *hosttest.Host, conn *wire.Conn) error {
	if s.within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.within)
		defer cancel()
	}
	if s.path != "" {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL+s.path, strings.NewReader("{}"))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		if s.caller != "" {
			req.Header.Set("Authorization", "Bearer "+s.caller+"-token")
		}
		res, err := cmp.Or(s.client, http.DefaultClient).Do(req)
		if err != nil {
			return err
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("HTTP status %s", res.Status)
		}
		return nil
	}
	req := wire.Frame{Service: s.service, Method: s.method, Codec: wire.JSON, Payload: []byte("{}")}
	if s.caller != "" {
		req.Metadata.Set(wire.MetaAuth, s.caller+"-token")
	}
	return conn.Do(ctx, &req, new(wire.Frame))
}

// settled waits for the end of the window of the newest edit, and returns the record of a revision.
func settled(t *testing.T, h *hosttest.Host, revision int) host.Attempt {
	t.Helper()
	var r host.Attempt
	awaitThat(t, "a verdict", func() bool {
		status, err := h.Admin.Status(t.Context())
		must(t, err)
		list, err := h.Admin.Revisions(t.Context())
		must(t, err)
		for i := range list {
			if list[i].Number == revision {
				r = list[i]
			}
		}
		return r.Result == host.ResultRolledBack || r.Number == revision && status.Policies.Observed == nil
	})
	return r
}

const undoneManifest = guardedManifest + `
auth: {identify: [token], tokens: {file: tokens.yaml}}
`

// changed returns an edit of undoneManifest.
func changed(from, to string) map[string]string {
	return map[string]string{"easymicro.yaml": strings.Replace(undoneManifest, from, to, 1)}
}

func writtenRules(rules ...string) map[string]string {
	return map[string]string{policyFile: ruleFile(rules...)}
}

// Each edit is made while calls arrive. want is why it is undone; empty: it is kept.
func TestWhichEditsOfRulesAndMethodsAreUndone(t *testing.T) {
	t.Parallel()
	none := "{name: none, match: {service: Arith}, access: {deny: [{caller: nobody}]}}"
	mulHTTP := []stream{{caller: "partner", path: "/Arith/Mul"}}
	aliased := strings.Replace(undoneManifest, "test.arith", "test.arith, aliases: [Sums]", 1)
	gets := undoneManifest + "gateway: {routes: [{path: /v1/mul, methods: [POST], service: Arith, method: Mul}]}\n"
	for _, tt := range []struct {
		name     string
		manifest string // default: undoneManifest
		before   []string
		after    map[string]string
		more     map[string]string // a second edit, within the window of the first
		streams  []stream          // default: 10 calls of Nap and 1 of Mul in 10 ms, by partner
		want     string
	}{
		{name: "deny for one method by name, nothing before", after: writtenRules(none, "{name: x, match: {service: Arith}, access: {deny: [{caller: partner, methods: Nap}]}}")},
		{name: "deny for one method by name, no rule before", before: []string{"{name: none, match: {service: Arith, method: Div}, rateLimit: {rate: 10}}"}, after: writtenRules("{name: none, match: {service: Arith, method: Div}, rateLimit: {rate: 10}}", "{name: x, match: {service: Arith}, access: {deny: [{caller: partner, methods: Nap}]}}")},
		{name: "tokens, under a limit that refuses", before: []string{"{name: x, match: {service: Arith}, rateLimit: {rate: 200, burst: 1}}"}, streams: []stream{{method: "Mul", n: 4, busy: true}}, after: map[string]string{"tokens.yaml": tokensFile("partner-token", "") + tokensFile("second-token", "")}},
		{name: "calls of one are let through instead of those of another", before: []string{"{name: x, match: {service: Arith, caller: 'a*'}, rateLimit: {rate: 1}}"}, streams: []stream{{method: "Mul", n: 5}, {caller: "partner", method: "Mul", n: 5}}, after: writtenRules("{name: x, match: {service: Arith, caller: 'p*'}, rateLimit: {rate: 1}}"), want: "x refused"},
		{name: "a queue without an end, and callers with deadlines", before: []string{"{name: x, match: {service: Arith}, concurrency: {max: 1000}}"}, streams: []stream{{method: "Nap", within: 100 * time.Millisecond}}, after: writtenRules("{name: x, match: {service: Arith}, concurrency: {max: 1, queue: 1000000, queueTimeout: 10s}}"), want: " % of "},
		{name: "a wait without an end, and callers with deadlines", before: []string{"{name: x, match: {service: Arith}, rateLimit: {rate: 10000}}"}, streams: []stream{{method: "Nap", within: 100 * time.Millisecond}}, after: writtenRules("{name: x, match: {service: Arith}, rateLimit: {rate: 5, burst: 1, onExceed: wait, maxWait: 10s}}"), want: "x refused"},
		{name: "deny for one peer", after: writtenRules(none, "{name: x, match: {service: Arith, peer: 127.0.0.1}, access: {deny: [{caller: '*'}]}}")},
		{name: "deny for a network", after: writtenRules(none, "{name: x, match: {service: Arith, peer: 127.0.0.0/8}, access: {deny: [{caller: '*'}]}}"), want: "x refused"},
		{name: "a wide glob", after: writtenRules(none, "{name: x, match: {service: '*'}, rateLimit: {rate: 1}}"), want: "x refused"},
		{name: "timeout for a named caller", before: []string{"{name: x, match: {service: Arith}, timeout: 5s}"}, after: writtenRules("{name: x, match: {service: Arith}, timeout: 5s}", "{name: y, match: {service: Arith, caller: partner}, timeout: 1ms}")},
		{name: "shorter timeout", before: []string{"{name: x, match: {service: Arith}, timeout: 30s}"}, after: writtenRules("{name: x, match: {service: Arith}, timeout: 2ms}"), want: "x timed out"},
		{name: "the longer of two timeouts goes", before: []string{"{name: x, match: {service: '*'}, timeout: 2ms}", "{name: y, match: {service: Arith}, timeout: 5s}"}, after: writtenRules("{name: x, match: {service: '*'}, timeout: 2ms}"), want: "x timed out"},
		{name: "key of one bucket for each caller", before: []string{"{name: x, match: {service: Arith}, rateLimit: {rate: 2000, key: caller}}"}, after: writtenRules("{name: x, match: {service: Arith}, rateLimit: {rate: 20, key: caller}}"), want: "x refused"},
		{name: "key removed", before: []string{"{name: x, match: {service: Arith}, rateLimit: {rate: 200, burst: 200, key: [caller, method]}}"}, streams: []stream{{caller: "partner", method: "Mul", n: 1}, {caller: "partner", method: "Div", n: 1}, {method: "Mul", n: 1}, {method: "Div", n: 1}}, after: writtenRules("{name: x, match: {service: Arith}, rateLimit: {rate: 50, burst: 50}}"), want: "x refused"},
		{name: "a limit that refuses is raised", before: []string{"{name: x, match: {service: Arith}, rateLimit: {rate: 100, burst: 1}}"}, streams: []stream{{method: "Mul", n: 4, busy: true}}, after: writtenRules("{name: x, match: {service: Arith}, rateLimit: {rate: 200, burst: 1}}")},
		{name: "a limit that refuses is lowered a little", before: []string{"{name: x, match: {service: Arith}, rateLimit: {rate: 200, burst: 1}}"}, streams: []stream{{method: "Mul", n: 4, busy: true}}, after: writtenRules("{name: x, match: {service: Arith}, rateLimit: {rate: 180, burst: 1}}")},
		{name: "a limit that refuses is lowered a lot", before: []string{"{name: x, match: {service: Arith}, rateLimit: {rate: 200, burst: 1}}"}, streams: []stream{{method: "Mul", n: 4, busy: true}}, after: writtenRules("{name: x, match: {service: Arith}, rateLimit: {rate: 20, burst: 1}}"), want: "x refused"},
		{name: "concurrency", before: []string{"{name: x, match: {service: Arith}, concurrency: {max: 1000}}"}, after: writtenRules("{name: x, match: {service: Arith}, concurrency: {max: 1}}"), want: "x refused"},
		{name: "a concurrency limit that refuses is raised", before: []string{"{name: x, match: {service: Arith}, concurrency: {max: 10}}"}, streams: []stream{{method: "Long", n: 5}}, after: writtenRules("{name: x, match: {service: Arith}, concurrency: {max: 11}}")},
		{name: "a queue without an end", before: []string{"{name: x, match: {service: Arith}, concurrency: {max: 1000}}"}, after: writtenRules("{name: x, match: {service: Arith}, concurrency: {max: 1, queue: 1000000, queueTimeout: 300ms}}"), want: "x refused"},
		{name: "breaker that counts nothing", before: []string{none}, streams: []stream{{method: "Fail", n: 5}}, after: writtenRules("{name: x, match: {service: Arith}, circuitBreaker: {minRequests: 10, failureRate: 50%}}"), want: "x refused"},
		{name: "breaker that was open before", before: []string{"{name: x, match: {service: Arith}, circuitBreaker: {minRequests: 10, failureRate: 50%}}"}, streams: []stream{{method: "Fail", n: 5}}, after: writtenRules("{name: x, match: {service: Arith}, circuitBreaker: {minRequests: 20, failureRate: 40%}}")},
		{name: "share from 0 to all", before: []string{"{name: x, match: {service: Arith}, enforceShare: 0, access: {allow: [{caller: batch}]}}"}, after: writtenRules("{name: x, match: {service: Arith}, access: {allow: [{caller: batch}]}}"), want: "x refused"},
		{name: "from shadow to enforce", before: []string{"{name: x, match: {service: Arith}, mode: shadow, access: {allow: [{caller: batch}]}}"}, after: writtenRules("{name: x, match: {service: Arith}, access: {allow: [{caller: batch}]}}"), want: "x refused"},
		{name: "exception removed", before: []string{"{name: x, match: {service: Arith, except: {caller: partner}}, access: {allow: [{caller: batch}]}}"}, after: writtenRules("{name: x, match: {service: Arith}, access: {allow: [{caller: batch}]}}"), want: "x refused"},
		{name: "an expired rule is in force again", before: []string{"{name: x, match: {service: Arith}, expires: 2020-01-01T00:00:00Z, access: {allow: [{caller: batch}]}}"}, after: writtenRules("{name: x, match: {service: Arith}, access: {allow: [{caller: batch}]}}"), want: "x refused"},
		{name: "a strict rule that has expired", after: writtenRules(none, "{name: x, match: {service: Arith}, expires: 2020-01-01T00:00:00Z, access: {allow: [{caller: batch}]}}")},
		{name: "a rule renamed and tightened", before: []string{"{name: x, match: {service: Arith}, rateLimit: {rate: 10000}}"}, after: writtenRules("{name: y, was: x, match: {service: Arith}, rateLimit: {rate: 1}}"), want: "y refused"},
		{name: "alias removed", manifest: aliased, after: map[string]string{"easymicro.yaml": undoneManifest}, streams: []stream{{service: "Sums", method: "Mul"}}, want: "services and routes turned away"},
		{name: "alias removed, over HTTP", manifest: aliased, after: map[string]string{"easymicro.yaml": undoneManifest}, streams: []stream{{path: "/Sums/Mul"}}, want: "services and routes turned away"},
		{name: "method removed, over HTTP", after: changed("test.arith", "test.arith, methods: {expose: [Nap]}"), streams: mulHTTP, want: "services and routes turned away"},
		{name: "route removed", manifest: gets, after: map[string]string{"easymicro.yaml": undoneManifest}, streams: []stream{{caller: "partner", path: "/v1/mul"}}, want: "services and routes turned away"},
		{name: "limit, over HTTP", before: []string{none}, after: writtenRules("{name: x, match: {service: Arith}, rateLimit: {rate: 1}}"), streams: mulHTTP, want: "x refused"},
		{name: "tokens, over HTTP", after: map[string]string{"tokens.yaml": "[]\n"}, streams: mulHTTP, want: "auth turned away"},
		{name: "callers are no longer identified", before: []string{"{name: x, match: {service: Arith}, access: {allow: [{caller: partner}]}}"}, after: map[string]string{"easymicro.yaml": guardedManifest}, want: "x refused"},
		{name: "a token with another name", before: []string{"{name: x, match: {service: Arith}, access: {allow: [{caller: partner}]}}"}, after: map[string]string{"tokens.yaml": strings.Replace(tokensFile("partner-token", ""), "partner", "parnter", 1)}, want: "x refused"},
		{name: "a token that has expired", after: map[string]string{"tokens.yaml": tokensFile("partner-token", ", expires: 2020-01-01T00:00:00Z")}, want: "auth turned away"},
		{name: "a method is exposed to few", manifest: strings.Replace(undoneManifest, "test.arith", "test.arith, methods: {expose: [Mul]}", 1), after: map[string]string{"easymicro.yaml": undoneManifest, policyFile: ruleFile(none, "{name: x, match: {service: Arith, method: Nap}, access: {allow: [{caller: batch}]}}")}},
		{name: "a second edit in the window", before: []string{none}, after: writtenRules(none, "{name: x, match: {service: Arith, method: Div}, rateLimit: {rate: 1}}"), more: writtenRules(none, "{name: y, match: {service: Arith}, rateLimit: {rate: 1}}"), want: "y refused"},
		{name: "put right by hand in the window", before: []string{none}, after: writtenRules(none, "{name: x, match: {service: Arith, method: Div}, rateLimit: {rate: 1}}"), more: writtenRules(none)},
		{name: "strangers and inventions", after: changed("test.arith", "test.arith, methods: {expose: [Mul, Nap]}"), streams: []stream{
			{caller: "partner", method: "Mul", n: 1},
			{caller: "stranger", method: "Mul"},
			{caller: "stranger", method: "Div"},
			{method: "Invented"},
			{service: "Invented", method: "Mul"},
			{path: "/Arith/Invented"},
			{path: "/Invented/Mul"},
			{path: "/nothing"},
			{path: "/Arith/Mul", caller: "stranger"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			reg := registry.New()
			registry.Plain(moody{}, registry.In(reg), registry.As("test.arith"))
			if tt.manifest == "" {
				tt.manifest = undoneManifest
			}
			if tt.before == nil {
				tt.before = []string{none}
			}
			if tt.streams == nil {
				tt.streams = []stream{{caller: "partner", method: "Nap", n: 10}, {caller: "partner", method: "Mul", n: 1}}
			}
			h := hosttest.Start(t, untilUndone(tt.manifest, tt.want != ""), hosttest.Options{Registry: reg, Files: map[string]string{
				policyFile: ruleFile(tt.before...), "tokens.yaml": tokensFile("partner-token", ""),
			}})
			var s running
			s.run(t, h, tt.streams...)
			awaitThat(t, "traffic", func() bool { return s.ok.Load()+s.failed.Load() > 100 })
			revision := 1
			for _, edit := range []map[string]string{tt.after, tt.more} {
				for name, text := range edit {
					h.Write(name, untilUndone(text, tt.want != ""))
				}
				if edit != nil {
					revision++
					if r := h.Revision(); r.Result != host.ResultApplied || r.Number != revision {
						t.Fatalf("r%d %s %v %s", r.Number, r.Result, r.Problems, r.Error)
					}
				}
			}
			r := settled(t, h, revision)
			t.Log(r.Result, r.Verdict)
			if undone := r.Result == host.ResultRolledBack; undone != (tt.want != "") || !strings.Contains(r.Verdict, tt.want) {
				t.Errorf("r%d %s: %q, want %q", r.Number, r.Result, r.Verdict, tt.want)
			}
		})
	}
}

// moody is a handler whose methods take some time, or fail.
type moody struct{ napping }

func (moody) Div(context.Context, *args, *reply) error { return nil }

func (moody) Long(ctx context.Context, _ *args, _ *reply) error {
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (moody) Fail(context.Context, *args, *reply) error { panic("it fails") }
