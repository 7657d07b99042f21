package config_test

import (
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
)

func TestEffectOfAChangeOfARule(t *testing.T) {
	const (
		wider, tighter, neutral, changed = config.Wider, config.Tighter, config.Neutral, config.Changed
		gone                             = ""
	)
	for _, c := range []struct {
		old, next string
		want      config.Effect
	}{
		{"match: {service: A}, rateLimit: {rate: 5, burst: 9}", "match: {service: A}, rateLimit: {rate: 6, burst: 9}", wider},
		{"match: {service: A}, rateLimit: {rate: 5, burst: 9}", "match: {service: A}, rateLimit: {rate: 5, burst: 8}", tighter},
		{"match: {service: A}, rateLimit: {rate: 5, burst: 9}", "match: {service: A}, rateLimit: {rate: 5, burst: 9, per: 1m}", tighter},
		{"match: {service: A}, rateLimit: {rate: 5}", "match: {service: A}, rateLimit: {rate: 5, key: caller}", changed},
		{"match: {service: A}, rateLimit: {rate: 5}", "match: {service: A}, rateLimit: {rate: 5, onExceed: wait}", wider},
		{"match: {service: A}, rateLimit: {rate: 5, key: metadata.x}", "match: {service: A}, rateLimit: {rate: 5, key: metadata.x, onMissingKey: refuse}", tighter},
		{"match: {service: A}, rateLimit: {rate: 5}", gone, wider},
		{"match: {service: A}, timeout: 1s", "match: {service: A}, timeout: 2s", wider},
		{"match: {service: A}, timeout: 1s", gone, wider},
		{"match: {service: A}, rateLimit: {rate: 5}", "match: {service: A}, rateLimit: {rate: 5}, timeout: 1s", tighter},
		{"match: {service: A}, rateLimit: {rate: 5}, timeout: 1s", "match: {service: A}, timeout: 1s", wider},
		{"match: {service: A}, concurrency: {max: 5}", "match: {service: A}, concurrency: {max: 5, queue: 2}", wider},
		{"match: {service: A}, timeout: 1s", "match: {service: A}, timeout: 1s, mode: shadow", wider},
		{"match: {service: A}, timeout: 1s, mode: off", "match: {service: A}, timeout: 1s", tighter},
		{"match: {service: A}, timeout: 1s, mode: off", "match: {service: A}, timeout: 2s, mode: off", neutral},
		{"match: {service: A}, timeout: 1s, mode: shadow", gone, neutral},
		{"match: {service: A}, timeout: 1s, mode: shadow", "match: {service: A}, timeout: 1s, mode: off", neutral},
		{"match: {service: A}, timeout: 1s", "match: {service: A}, timeout: 1s, description: x", neutral},
		{"match: {service: A}, timeout: 1s", "match: {service: A}, timeout: 1s, autoRollback: off", neutral},
		{"match: {service: A}, timeout: 1s", "match: {service: A}, timeout: 1s, expires: 2100-01-01T00:00:00Z", wider},
		{"match: {service: A}, timeout: 1s, expires: 2100-01-01T00:00:00Z", "match: {service: A}, timeout: 1s, expires: 2101-01-01T00:00:00Z", tighter},
		{"match: {service: A}, timeout: 1s", "match: {service: A}, timeout: 1s, expires: 2000-01-01T00:00:00Z", wider},
		{"match: {service: A}, timeout: 1s, enforceShare: 50%", "match: {service: A}, timeout: 1s, enforceShare: 40%", wider},
		{"match: {service: A}, timeout: 1s, enforceShare: 50%", "match: {service: A}, timeout: 1s", tighter},
		{"match: {service: A}, timeout: 1s", `match: {service: "*"}, timeout: 1s`, tighter},
		{"match: {service: A}, timeout: 1s", "match: {service: A, caller: a}, timeout: 1s", wider},
		{"match: {service: A}, timeout: 1s", "match: {service: B}, timeout: 1s", changed},
		{"match: {peer: 10.0.0.0/8}, timeout: 1s", "match: {peer: 10.1.0.0/16}, timeout: 1s", wider},
		{"match: {service: A}, timeout: 1s", "match: {service: A, except: {caller: a}}, timeout: 1s", wider},
		{"match: {service: A, except: {caller: [a, b]}}, timeout: 1s", "match: {service: A, except: {caller: a}}, timeout: 1s", tighter},
		{"match: {service: A}, timeout: 1s", "match: {service: A, identity: {tenant: a}}, timeout: 1s", wider},
		{"match: {service: A, identity: {tenant: a}}, timeout: 1s", "match: {service: A, identity: {tenant: [a, b]}}, timeout: 1s", tighter},
		{"match: {service: A, identity: {tenant: a}}, timeout: 1s", "match: {service: A, identity: {tenant: b}}, timeout: 1s", changed},
		{"match: {service: A, identity: {tenant: a, plan: b}}, timeout: 1s", "match: {service: A, identity: {tenant: a}}, timeout: 1s", tighter},
		{"match: {service: A}, timeout: 1s", "match: {service: A, except: {identity: {tenant: a}}}, timeout: 1s", wider},
		{"match: {service: A}, access: {allow: [{caller: a}]}", "match: {service: A}, access: {allow: [{caller: [a, b]}]}", wider},
		{"match: {service: A}, access: {allow: [{caller: a}]}", "match: {service: A}, access: {allow: [{caller: b}]}", changed},
		{"match: {service: A}, access: {allow: [{caller: a}]}", gone, wider},
		{"match: {service: A}, access: {deny: [{caller: a}]}", `match: {service: A}, access: {deny: [{caller: "*"}]}`, tighter},
		{"match: {service: A}, access: {allow: [{caller: a}]}", "match: {service: A}, access: {allow: [{caller: a}], deny: [{caller: b}]}", tighter},
		{"match: {service: A}, access: {allow: [{caller: a}], deny: [{caller: b}]}", "match: {service: A}, access: {deny: [{caller: b}]}", wider},
		{"match: {service: A}, circuitBreaker: {failureRate: 50%}", "match: {service: A}, circuitBreaker: {failureRate: 60%}", wider},
		{"match: {service: A}, circuitBreaker: {failureRate: 50%}", "match: {service: A}, circuitBreaker: {failureRate: 50%, consecutiveFailures: 3}", tighter},
		{"match: {service: A}, circuitBreaker: {failureRate: 50%}", "match: {service: A}, circuitBreaker: {failureRate: 50%, window: 1m}", changed},
		{"match: {service: A}, circuitBreaker: {failureRate: 50%}", "match: {service: A}, circuitBreaker: {failureRate: 50%, openTimeout: 1m}", tighter},
		{"match: {upstream: u}, retry: {maxAttempts: 3}", "match: {upstream: u}, retry: {maxAttempts: 4}", changed},
		{"match: {upstream: u}, retry: {maxAttempts: 3}", "match: {upstream: [u, v]}, retry: {maxAttempts: 3}", changed},
		{"match: {upstream: u}, retry: {maxAttempts: 3}", gone, changed},
	} {
		set := func(rule string) *config.Set {
			if rule == gone {
				return rulesOf(t, "  []\n")
			}
			return rulesOf(t, "  - {name: r, "+rule+"}\n")
		}
		got := config.Diff(set(c.old), set(c.next))
		if len(got) != 1 || got[0].Effect != c.want {
			t.Errorf("%s\nto %s:\n%q, want %s", c.old, c.next, got.Signed(), c.want)
		}
		if got.Neutral() != (c.want == neutral) {
			t.Errorf("%s to %s: neutral %v", c.old, c.next, got.Neutral())
		}
		opposite := map[config.Effect]config.Effect{wider: tighter, tighter: wider, neutral: neutral, changed: changed}[c.want]
		if back := config.Diff(set(c.next), set(c.old)); len(back) != 1 || back[0].Effect != opposite {
			t.Errorf("%s\nback to %s:\n%q, want %s", c.next, c.old, back.Signed(), opposite)
		}
	}
}

func TestEffectOfAChangeOfTheManifest(t *testing.T) {
	const head = "services: [{name: A, handler: x}]\n"
	service := func(field string) string { return "services: [{name: A, handler: x, " + field + "}]\n" }
	for _, c := range []struct{ old, next, want string }{
		{service("methods: {expose: [M]}"), service("methods: {expose: [M, N]}"), "~ <"},
		{service("methods: {expose: [M]}"), head, "~ <"},
		{service("methods: {expose: [M]}"), service("methods: {expose: [N]}"), "~  "},
		{service("aliases: [B]"), head, "~ >"},
		{head, "services: [{name: A, handler: x}, {name: B, handler: x}]\n", "+ <"},
		{service("options: {a: 1}"), service("options: {a: 2}"), "~  "},
		{head + "gateway: {get: [A.M]}", head + "gateway: {get: [A.M, A.N]}", "~ <"},
		{head + "gateway: {routes: [{path: /m, service: A, method: M}]}", head, "- >"},
		{head + "gateway: {unknownFields: reject}", head, "~ <"},
		{head + `gateway: {cors: {allowOrigins: ["https://a.example"]}}`, head + `gateway: {cors: {allowOrigins: ["*"]}}`, "~ <"},
		{head + "auth: {trustedProxies: [10.1.0.0/16]}", head + "auth: {trustedProxies: [10.0.0.0/8]}", "~ <"},
		{head, head + "auth: {identify: [token], tokens: {file: tokens.yaml}}", "~ >"},
		{head + "host: {limits: {maxInFlight: 5}}", head + "host: {limits: {maxInFlight: 6}}", "~ <"},
		{head + "listeners: [{name: m, address: \":1\", limits: {idleTimeout: 5s}}]", head + "listeners: [{name: m, address: \":1\", limits: {idleTimeout: 4s}}]", "~ >"},
		{head, head + "upstreams: [{name: u, service: U, resolve: {dns: \"u:1\"}}]", "+  "},
	} {
		got := config.Diff(setOf(t, c.old, "", ""), setOf(t, c.next, "", "")).Signed()
		if len(got) == 0 || !strings.HasPrefix(got[0], c.want+" ") {
			t.Errorf("%s\nto %s:\n%q, want %s", c.old, c.next, got, c.want)
		}
	}
}

func TestWhatCannotRefuseACallIsNeutral(t *testing.T) {
	const old = "host: {labels: {a: b}}\nservices: [{name: A, handler: x, metadata: {group: a}, accessLog: true}]\ntelemetry: {logs: {level: info}}\npolicies: {watch: {poll: 5s}}\n"
	next := strings.NewReplacer("a: b", "a: c", "group: a", "group: b", "true", "false", "info", "debug", "5s", "6s").Replace(old)
	changes := config.Diff(setOf(t, old, "", ""), setOf(t, next, "", ""))
	if len(changes) != 5 || !changes.Neutral() {
		t.Errorf("%+v", changes)
	}
	if !(config.Changes{}).Neutral() {
		t.Error("no change is not neutral")
	}
}

func TestTokensOpen(t *testing.T) {
	old := "- {caller: web, sha256: " + strings.Repeat("a", 64) + "}"
	next := old + "\n- {caller: ops, sha256: " + strings.Repeat("b", 64) + "}"
	for want, sets := range map[string][2]string{"+ <": {old, next}, "- >": {next, old}} {
		if got := config.Diff(setOf(t, "", "", sets[0]), setOf(t, "", "", sets[1])).Signed(); len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%q, want %s", got, want)
		}
	}
}
