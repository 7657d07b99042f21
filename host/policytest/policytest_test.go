package policytest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/host/policytest"
	_ "github.com/easymicro/easymicro/samples" // samples.arith
)

const manifest = `
services: [{name: Arith, handler: samples.arith, aliases: [Maths]}]
auth: {identify: [token], tokens: {file: tokens.yaml}}
upstreams:
  - {name: billing, service: Billing, resolve: {endpoints: ["10.0.0.5:1", "10.0.0.6:1"]}, idempotent: [Get]}
  - {name: stock, service: Stock, resolve: {dns: "stock:1"}}
policies: {files: [policies.yaml]}
`

const tokens = `
- {caller: web, sha256: 2e63581f3ad310ec6d04ce0f6adb96d3a7808722dab1612486486190086013f6}
- {caller: job, sha256: f6dbcfeb957b327b63c0705f1348f75715f09f5020903b696c43e66a53d0f189}
`

// run runs cases under rules.
func run(t *testing.T, rules, cases string, files ...string) policytest.Suite {
	t.Helper()
	dir := t.TempDir()
	all := append([]string{"easymicro.yaml", manifest, "tokens.yaml", tokens, "policies.yaml", "rules:\n" + rules, "tests.yaml", "cases:\n" + cases}, files...)
	for file := range slices.Chunk(all, 2) {
		if err := os.WriteFile(filepath.Join(dir, file[0]), []byte(file[1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	var suites []policytest.Suite
	err := policytest.Run(t, &policytest.Options{Files: []string{"tests.yaml"}, Coverage: true}, func(s *policytest.Suite) { suites = append(suites, *s) })
	if err != nil || len(suites) != 1 {
		t.Fatal(suites, err)
	}
	return suites[0]
}

// passes checks that all cases pass.
func passes(t *testing.T, rules, cases string) policytest.Suite {
	t.Helper()
	s := run(t, rules, cases)
	for _, p := range s.Problems {
		t.Error(p)
	}
	if len(s.Cases) == 0 {
		t.Error("no case was run")
	}
	for i := range s.Cases {
		for _, p := range s.Cases[i].Failures {
			t.Errorf("%s: %s", s.Cases[i].Name, p)
		}
	}
	return s
}

func TestCallsMeetTheRulesAsInAHost(t *testing.T) {
	for name, test := range map[string]struct{ rules, cases string }{
		"limits have keys": {`
  - {name: each, match: {service: Arith}, rateLimit: {rate: 1, per: 1h, burst: 2, key: [caller, metadata.tenant]}}
  - {name: peers, match: {service: Arith, peer: 10.0.0.0/8}, access: {deny: [{caller: "*"}]}}
`, `
  - name: keys
    calls:
      - {to: Arith.Mul, caller: web, metadata: {tenant: a}, count: 3, expect: {OK: 2, by: each, RESOURCE_EXHAUSTED: 1}}
      - {to: Maths.Mul, caller: web, metadata: {tenant: b}, count: 3, expect: {OK: 2, by: [each], RESOURCE_EXHAUSTED: 1}}
      - {to: Arith.Div, caller: job, metadata: {tenant: a}, count: 2, expect: {OK: 2}}
      - {to: Arith.Mul, peer: 10.1.2.3, expect: {PERMISSION_DENIED: 1, refused: {peers: 1, each: 0}}}
      - {to: Arith.Mul, peer: 11.1.2.3, expect: {OK: 1}}
`},
		"a limit makes calls wait": {`
  - {name: pace, match: {service: Arith}, rateLimit: {rate: 10, per: 1s, burst: 1, onExceed: wait, maxWait: 250ms}}
`, `
  - {name: queue, calls: {to: Arith.Mul, count: 10}, expect: {OK: 3, RESOURCE_EXHAUSTED: 7, by: pace}}
  - {name: one after the other, calls: {to: Arith.Mul, count: 10, concurrency: 1}, expect: {OK: 10}}
`},
		"a breaker opens, probes and closes": {`
  - {name: guard, match: {service: Arith}, circuitBreaker: {window: 10s, minRequests: 10, failureRate: 50%, openTimeout: 5s, halfOpenRequests: 2}}
`, `
  - name: half of them fail
    calls:
      - {to: Arith.Mul, count: 10, over: 1s, handler: {error: INTERNAL, every: 2}, expect: {OK: 5, INTERNAL: 5}}
      - {to: Arith.Mul, count: 4, over: 4s, expect: {UNAVAILABLE: 4, by: guard}}
      - {to: Arith.Mul, after: 2s, count: 5, handler: {delay: 10ms}, expect: {OK: 2, UNAVAILABLE: 3, by: guard}}
      - {to: Arith.Mul, count: 5, expect: {OK: 5}}
  - name: a quarter of them fail
    calls: {to: Arith.Mul, count: 40, over: 4s, handler: {error: INTERNAL, share: 25%}}
    expect: {OK: 30, INTERNAL: 10}
  - name: mistakes of callers do not count
    calls: {to: Arith.Mul, count: 40, over: 4s, handler: {error: INVALID_ARGUMENT}}
    expect: {INVALID_ARGUMENT: 40}
`},
		"a handler that runs on holds its place": {`
  - {name: places, match: {service: Arith}, concurrency: {max: 1}}
  - {name: slow, match: {service: Arith}, timeout: 100ms}
`, `
  - name: returns with its context
    calls:
      - {to: Arith.Mul, handler: {delay: 1s}, expect: {DEADLINE_EXCEEDED: 1, by: slow}}
      - {to: Arith.Mul, expect: {OK: 1}}
  - name: runs on
    calls:
      - {to: Arith.Mul, handler: {delay: 1s, runsOn: true}, expect: {DEADLINE_EXCEEDED: 1, by: slow}}
      - {to: Arith.Mul, expect: {UNAVAILABLE: 1, by: places}}
      - {to: Arith.Mul, after: 900ms, expect: {OK: 1}}
  - name: the deadline of the caller is not the rule's
    calls: {to: Arith.Mul, deadline: 50ms, handler: {delay: 1s}}
    expect: {DEADLINE_EXCEEDED: 1, refused: {slow: 0}}
`},
		"rules expire": {`
  - {name: sale, match: {service: Arith}, rateLimit: {rate: 1, per: 1h, burst: 1}, expires: 2031-01-01T00:00:00Z}
`, `
  - {name: before, at: 2030-12-31T23:59:59Z, calls: {to: Arith.Mul, count: 2}, expect: {OK: 1, RESOURCE_EXHAUSTED: 1}}
  - {name: after, at: 2031-01-01T00:00:00Z, calls: {to: Arith.Mul, count: 2}, expect: {OK: 2}}
  - name: meanwhile
    at: 2030-12-31T23:00:00Z
    calls: [{to: Arith.Mul, count: 2}, {to: Arith.Mul, after: 1h, count: 9}]
    expect: {OK: 10, RESOURCE_EXHAUSTED: 1}
`},
		"steps may begin together": {`
  - {name: both, match: {service: Arith}, rateLimit: {rate: 1, per: 1h, burst: 10}}
`, `
  - name: in turn
    calls:
      - {to: Arith.Mul, count: 10, over: 10s, expect: {OK: 5, RESOURCE_EXHAUSTED: 5}}
      - {to: Arith.Div, count: 10, over: 10s, together: true, expect: {OK: 5, RESOURCE_EXHAUSTED: 5}}
      - {to: Arith.Div, after: 1h, expect: {OK: 1}}
`},
		"calls to upstreams": {`
  - {name: again, match: {upstream: billing}, retry: {maxAttempts: 3, perTryTimeout: 100ms, initialBackoff: 1ms, maxBackoff: 1ms}}
  - {name: cut, match: {upstream: stock}, circuitBreaker: {consecutiveFailures: 2, openTimeout: 10s}}
  - {name: pace, match: {upstream: stock, method: Count}, rateLimit: {rate: 1, per: 1h, burst: 1}}
`, `
  - name: an endpoint that is slow
    calls: {to: billing.Get, count: 10, over: 10s, handler: {endpoint: "10.0.0.5:1", delay: 1s}}
    expect: {OK: 10}
  - name: what is not idempotent is sent once
    calls: {to: billing.Pay, count: 4, over: 1s, handler: {error: UNAVAILABLE, first: 3}}
    expect: {OK: 1, UNAVAILABLE: 3}
  - name: unless it was not run
    calls: {to: billing.Pay, count: 4, over: 1s, handler: {error: UNAVAILABLE, reason: draining, first: 1}}
    expect: {OK: 4}
  - name: an endpoint that fails is skipped
    calls:
      - {to: stock.Look, count: 4, over: 1s, handler: {endpoint: "stock-1:80", error: INTERNAL}, expect: {OK: 2, INTERNAL: 2}}
      - {to: stock.Look, count: 4, over: 1s, handler: {endpoint: "stock-1:80", error: INTERNAL}, expect: {OK: 4}}
      - {to: stock.Look, after: 10s, count: 4, over: 1s, expect: {OK: 4}}
  - name: a limit
    calls: {to: stock.Count, count: 2}
    expect: {OK: 1, RESOURCE_EXHAUSTED: 1, by: pace}
`},
	} {
		t.Run(name, func(t *testing.T) { passes(t, test.rules, test.cases) })
	}
}

func TestFailuresSayWhatWasSeenInstead(t *testing.T) {
	s := run(t, `
  - {name: quota, match: {service: Arith, caller: web}, rateLimit: {rate: 1, per: 1h, burst: 5}}
  - {name: trial, mode: shadow, match: {service: Arith}, rateLimit: {rate: 1, per: 1h, burst: 6}}
`, `
  - name: codes
    calls: {to: Arith.Mul, caller: web, count: 7, handler: {error: NOT_FOUND, first: 1}}
    expect: {OK: 7, by: trial, refused: {quota: 1}, shadow: {trial: 2}}
  - name: steps
    calls:
      - {to: Arith.Mul, expect: {OK: 1}}
      - {to: Arith.Mul, expect: {UNAVAILABLE: 1}}
`)
	const seen = " (seen: 4 OK, 1 NOT_FOUND, 2 RESOURCE_EXHAUSTED; refused: 2 by quota; in shadow: 1 by trial)"
	want := []string{
		"tests.yaml:5:18: cases[0].expect.OK: want 7, got 4" + seen,
		"tests.yaml:5:13: cases[0].expect: 1 call ends with NOT_FOUND, which is not expected" + seen,
		"tests.yaml:5:13: cases[0].expect: 2 calls end with RESOURCE_EXHAUSTED, which is not expected" + seen,
		"tests.yaml:5:25: cases[0].expect.by: trial refuses no call" + seen,
		"tests.yaml:5:25: cases[0].expect.by: quota refuses 2 calls too" + seen,
		"tests.yaml:5:49: cases[0].expect.refused.quota: want 1, got 2" + seen,
		"tests.yaml:5:69: cases[0].expect.shadow.trial: want 2, got 1" + seen,
		"tests.yaml:9:33: cases[1].calls[1].expect: 1 call ends with OK, which is not expected (seen: 1 OK)",
		"tests.yaml:9:47: cases[1].calls[1].expect.UNAVAILABLE: want 1, got 0 (seen: 1 OK)",
	}
	var got []string
	for i := range s.Cases {
		got = append(got, strings.Split(s.Cases[i].Failures.Error(), "\n")...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheClockEnds(t *testing.T) {
	s := run(t, "  - {name: any, match: {service: Arith}, concurrency: {max: 9}}\n", `
  - {name: too long, calls: {to: Arith.Mul, count: 100000, concurrency: 1, handler: {delay: 24h}}, expect: {OK: 100000}}
  - name: too late
    at: 2199-06-01T00:00:00Z
    calls: [{to: Arith.Mul, after: 8760h}, {to: Arith.Mul, over: 8760h, count: 2}]
    expect: {OK: 3}
  - {name: just in time, at: 2199-06-01T00:00:00Z, calls: {to: Arith.Mul, over: 24h, count: 24}, expect: {OK: 24}}
`)
	const want = "its calls go on beyond the year 2200, where the virtual clock ends"
	if len(s.Cases) != 3 || !strings.HasSuffix(s.Cases[0].Failures.Error(), want) || !strings.HasSuffix(s.Cases[1].Failures.Error(), want) || len(s.Cases[2].Failures) > 0 {
		t.Errorf("%+v", s)
	}
}

func TestNobodyNewIsRefused(t *testing.T) {
	const rules = `
  - {name: quota, match: {service: Arith, caller: web}, rateLimit: {rate: 1, per: 1h, burst: 5}}
  - {name: trial, mode: shadow, match: {service: Arith}, rateLimit: {rate: 1, per: 1h, burst: 4}}
`
	s := run(t, rules, "[]", "old.yaml", strings.ReplaceAll(manifest, "policies.yaml", "old-policies.yaml"), "old-policies.yaml", "rules:"+rules,
		"tests.yaml", `
against: old.yaml
cases:
  - {name: the same, calls: {to: Arith.Mul, caller: web, count: 9}, expect: {nobody_new: true}}
  - {name: the trial, assume: enforce, calls: {to: Arith.Mul, caller: web, count: 9}, expect: {nobody_new: true}}
`)
	if len(s.Cases) != 2 || len(s.Cases[0].Failures) > 0 {
		t.Fatalf("%+v", s)
	}
	const want = "tests.yaml:5:108: cases[1].expect.nobody_new: of 5 calls that the older set lets through, the new one refuses 1 by trial"
	if got := s.Cases[1].Failures.Error(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCoverageCountsTheDecisionsOfEachRule(t *testing.T) {
	s := passes(t, `
  - {name: met, match: {service: Arith, method: Mul}, rateLimit: {rate: 1, per: 1h, burst: 2}}
  - {name: shadowed, mode: shadow, match: {service: Arith, method: Mul}, timeout: 1s}
  - {name: other, match: {service: Arith, method: Div}, timeout: 1s}
`, `
  - {name: one, calls: {to: Arith.Mul, count: 3}, expect: {OK: 2, RESOURCE_EXHAUSTED: 1}}
  - {name: two, calls: {to: Arith.Mul}, expect: {OK: 1}}
`)
	want := []policytest.Coverage{
		{Rule: "met", Position: "policies.yaml:3", Mode: "enforce", Met: 4},
		{Rule: "shadowed", Position: "policies.yaml:4", Mode: "shadow", Met: 3},
		{Rule: "other", Position: "policies.yaml:5", Mode: "enforce"},
	}
	if diff := cmp.Diff(want, s.Coverage); diff != "" {
		t.Error(diff)
	}
}

func TestMistakesAreProblemsWithTheirPlace(t *testing.T) {
	const rules = `
  - {name: quota, match: {service: Arith}, timeout: 1s}
  - {name: trial, mode: shadow, match: {service: Arith}, timeout: 2s}
`
	for cases, want := range map[string]string{
		"  - {name: a, calls: {to: Arith.Mull}, expect: {OK: 1}}":                                                  `2:27: cases[0].calls.to: service Arith has no method "Mull" (did you mean Arith.Mul?)`,
		"  - {name: a, calls: [{to: Arth.Mul}], expect: {OK: 1}}":                                                  `2:28: cases[0].calls[0].to: no service and no upstream is named "Arth" (did you mean Arith.Mul?)`,
		"  - {name: a, calls: {to: Mul}, expect: {OK: 1}}":                                                         `2:27: cases[0].calls.to: must be Service.Method or UPSTREAM.Method, not "Mul"`,
		"  - {name: a, calls: {to: Arith.Mul}, expect: {refused: {quta: 1}}}":                                      `2:64: cases[0].expect.refused.quta: no rule is named "quta" (did you mean quota?)`,
		"  - {name: a, calls: {to: Arith.Mul}, expect: {nobody_new: true}}":                                        `2:60: cases[0].expect.nobody_new: needs an older set: against: OLD/easymicro.yaml in this file, or --against`,
		"  - {name: a, calls: {to: Arith.Mul, handler: {endpoint: x, delay: 1s}}, expect: {OK: 1}}":                `2:58: cases[0].calls.handler.endpoint: is for calls to an upstream`,
		"  - {name: a, calls: {to: billing.Get, handler: {endpoint: \"10.0.0.7:1\", delay: 1s}}, expect: {OK: 1}}": `2:60: cases[0].calls.handler.endpoint: billing has no endpoint "10.0.0.7:1"; it has 10.0.0.5:1, 10.0.0.6:1 (did you mean 10.0.0.5:1?)`,
	} {
		s := run(t, rules, cases)
		if got := s.Problems.Error(); got != "tests.yaml:"+want || len(s.Cases) > 0 {
			t.Errorf("%s\ngot  %s\nwant tests.yaml:%s", cases, got, want)
		}
	}
	s := run(t, rules, "  - {name: a, assume: enforce, calls: {to: Arith.Mul}, expect: {OK: 1}}")
	if got := s.Problems.Error(); !strings.HasPrefix(got, "tests.yaml:2:23: cases[0].assume: rules tie once they are enforced: policies.yaml:4") {
		t.Errorf("got %s", got)
	}
}

// withClaims is a manifest whose signed tokens have the claim tenant.
const withClaims = `
services: [{name: Arith, handler: samples.arith}]
auth:
  identify: [jwt, token]
  jwt: {jwksFile: jwks.json, issuer: "https://login.test/", audience: orders, claims: {tenant: org}}
  tokens: {file: tokens.yaml}
upstreams: [{name: billing, service: Billing, resolve: {endpoints: ["10.0.0.5:1"]}}]
policies: {files: [policies.yaml]}
`

// jwks has the key of RFC 8037, appendix A.
const jwks = `{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`

const claimRules = `
  - {name: acme, match: {service: Arith, method: Mul, identity: {tenant: acme}}, access: {deny: [{caller: "*"}]}}
  - {name: each, match: {service: Arith, method: Div}, rateLimit: {rate: 1, per: 1h, burst: 2, key: identity.tenant}}
`

func TestRulesMatchAndKeyByTheClaimsOfAStep(t *testing.T) {
	s := run(t, claimRules, `
  - name: match
    calls:
      - {to: Arith.Mul, caller: web, identity: {tenant: acme}, expect: {PERMISSION_DENIED: 1, by: acme}}
      - {to: Arith.Mul, caller: web, identity: {tenant: other}, expect: {OK: 1}}
      - {to: Arith.Mul, caller: web, expect: {OK: 1}}
  - name: key
    calls:
      - {to: Arith.Div, caller: web, identity: {tenant: acme}, count: 3, expect: {OK: 2, RESOURCE_EXHAUSTED: 1, by: each}}
      - {to: Arith.Div, caller: job, identity: {tenant: acme}, expect: {RESOURCE_EXHAUSTED: 1, by: each}}
      - {to: Arith.Div, caller: web, identity: {tenant: other}, count: 2, expect: {OK: 2}}
`, "easymicro.yaml", withClaims, "jwks.json", jwks)
	for _, p := range s.Problems {
		t.Error(p)
	}
	if len(s.Cases) != 2 {
		t.Errorf("%d cases were run, want 2", len(s.Cases))
	}
	for i := range s.Cases {
		for _, p := range s.Cases[i].Failures {
			t.Errorf("%s: %s", s.Cases[i].Name, p)
		}
	}
}

func TestClaimsThatNoCallHasAreProblems(t *testing.T) {
	for name, test := range map[string]struct{ call, want string }{
		"an upstream":      {"{to: billing.Get, caller: web, identity: {tenant: a}, expect: {OK: 1}}", "rules for calls to an upstream match no claims"},
		"an anonymous one": {"{to: Arith.Mul, identity: {tenant: a}, expect: {OK: 1}}", "anonymous callers have no claims: add caller"},
		"an unknown claim": {"{to: Arith.Mul, caller: web, identity: {team: a}, expect: {OK: 1}}", `names no claim "team"; it names tenant`},
	} {
		t.Run(name, func(t *testing.T) {
			s := run(t, claimRules, "  - {name: a, calls: ["+test.call+"]}\n", "easymicro.yaml", withClaims, "jwks.json", jwks)
			if len(s.Problems) != 1 || !strings.Contains(s.Problems[0].Error(), test.want) {
				t.Errorf("got %v, want a problem that says %q", s.Problems, test.want)
			}
		})
	}
}
