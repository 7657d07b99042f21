package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config"
)

func setOf(t *testing.T, manifest, rules, tokens string) *config.Set {
	t.Helper()
	if manifest == "" {
		manifest = "services: [{name: Arith, handler: samples.arith}]"
	}
	m, problems := config.DecodeManifest("easymicro.yaml", []byte(manifest), nil)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	set := &config.Set{Manifest: m}
	if rules != "" {
		if set.Rules, problems = config.DecodeRules("policies.yaml", []byte(rules), nil); problems.Err() != nil {
			t.Fatal(problems)
		}
	}
	if tokens != "" {
		if set.Tokens, problems = config.DecodeTokens("tokens.yaml", []byte(tokens), nil); problems.Err() != nil {
			t.Fatal(problems)
		}
	}
	return set
}

func TestDiffHasOneLineForEachSubject(t *testing.T) {
	const rule = "rules:\n  - name: arith-mul\n    match: {service: Arith, method: Mul}\n    "
	for name, c := range map[string]struct {
		old, next string // rules
		want      []string
	}{
		"the line of the specification": {
			rule + "rateLimit: {rate: 500, burst: 1000}", rule + "rateLimit: {rate: 1, burst: 1}",
			[]string{"arith-mul: rateLimit.rate 500 → 1, burst 1000 → 1 (policies.yaml:4)"},
		},
		"a default written out is no change": {
			rule + "rateLimit: {rate: 500}", rule + "rateLimit: {burst: 500, rate: 5e2, per: 1000ms, onExceed: reject}", nil,
		},
		"order of rules and comments are no change": {
			"rules: [{name: a, match: {service: A}, timeout: 1s}, {name: b, match: {service: B}, timeout: 1s}]",
			"# two rules\nrules: [{name: b, match: {service: B}, timeout: 1s}, {name: a, match: {service: [A]}, timeout: 1000ms}]", nil,
		},
		"rules added and removed": {
			"rules: [{name: a, match: {service: A}, timeout: 1s}, {name: s, mode: shadow, match: {service: A}, timeout: 1s}]",
			"rules: [{name: b, match: {service: B}, timeout: 1s}]",
			[]string{"rule b added (policies.yaml:1)", "enforced rule a removed (policies.yaml:1)", "shadow rule s removed (policies.yaml:1)"},
		},
		"kinds added and removed": {
			rule + "timeout: 1s\n    concurrency: {max: 5}", rule + "rateLimit: {rate: 5, key: caller}",
			[]string{"arith-mul: rateLimit added {rate: 5, burst: 5, key: caller}, concurrency removed, timeout 1s → none (policies.yaml:4)"},
		},
		"mode and match": {
			rule + "timeout: 1s", strings.Replace(rule, "Mul", "[Mul, \"D*\"]", 1) + "timeout: 1s\n    mode: shadow",
			[]string{"arith-mul: match.method Mul → [Mul, D*], mode enforce → shadow (policies.yaml:3)"},
		},
		"a match that is lifted, and one that is added": {
			rule + "timeout: 1s", "rules:\n  - name: arith-mul\n    match: {service: Arith, caller: web}\n    timeout: 1s",
			[]string{"arith-mul: match.method Mul → any, caller any → web (policies.yaml:3)"},
		},
		"a renamed rule": {
			rule + "timeout: 1s", strings.Replace(rule, "arith-mul", "mul\n    was: arith-mul", 1) + "timeout: 1s",
			[]string{"mul: name arith-mul → mul, was none → arith-mul (policies.yaml:2)"},
		},
		"access lists": {
			rule + "access: {allow: [{caller: web}]}", rule + "access: {allow: [{caller: web}, {caller: batch, methods: [A, B]}]}",
			[]string{"arith-mul: access.allow [{caller: web}] → [{caller: web}, {caller: batch, methods: [A, B]}] (policies.yaml:4)"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := config.Diff(setOf(t, "", c.old, ""), setOf(t, "", c.next, "")).Lines()
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDiffOfManifestsHasTheReloadClass(t *testing.T) {
	const old = "host: {name: a}\nservices:\n  - {name: Arith, handler: samples.arith, options: {precision: 4, password: canary1, PIN: 471147}}\n  - {name: Old, handler: x}\n" +
		"listeners: [{name: main, address: \":8972\"}]\n"
	const next = "host: {name: b, labels: {zone: az1}}\nservices:\n  - {name: New, handler: y}\n  - {name: Arith, handler: samples.arith, options: {password: canary2, precision: 5, PIN: 471148}, accessLog: true}\n" +
		"listeners: [{name: main, address: \":8972\", limits: {idleTimeout: 1m}}]\ntelemetry: {logs: {level: debug}}\npolicies: {watch: {poll: 1s}}\n"
	changes := config.Diff(setOf(t, old, "", ""), setOf(t, next, "", ""))
	want := []string{
		"host.name a → b, host.labels.zone none → az1 (easymicro.yaml:1)",
		"listener main: limits.idleTimeout 2m → 1m (easymicro.yaml:5)",
		"service New added (easymicro.yaml:3)",
		"service Arith: options.PIN … → …, password … → …, precision 4 → 5, accessLog false → true (easymicro.yaml:4)",
		"service Old removed (easymicro.yaml:4)",
		"telemetry.logs.level info → debug (easymicro.yaml:6)",
		"policies.watch.poll 5s → 1s (easymicro.yaml:7)",
	}
	if diff := cmp.Diff(want, changes.Lines()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if all := fmt.Sprintf("%+v", []config.Change(changes)); strings.Contains(all, "canary") || strings.Contains(all, "4711") {
		t.Errorf("a secret is shown: %s", all)
	}
	if changes.Class() != config.Restart {
		t.Errorf("class %s, want restart", changes.Class())
	}
	if got := changes.Pending().Lines(); len(got) != 1 || got[0] != "host.name a → b (easymicro.yaml:1)" {
		t.Errorf("pending %q", got)
	}
}

func TestDiffOfTokensNeverShowsThem(t *testing.T) {
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	old := setOf(t, "", "", "- {caller: web, sha256: "+a+"}\n- {caller: batch, sha256: "+b+"}")
	next := setOf(t, "", "", "- {caller: web, sha256: "+a+", expires: 2126-01-01T00:00:00Z}\n- {caller: partner, sha256: "+strings.Repeat("c", 64)+"}")
	changes := config.Diff(old, next)
	want := []string{"token of web: expires none → 2126-01-01T00:00:00Z (tokens.yaml:1)", "token of partner added (tokens.yaml:2)", "token of batch removed (tokens.yaml:2)"}
	if diff := cmp.Diff(want, changes.Lines()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDiffOfOptionsShowsDurationsAndNoSecrets(t *testing.T) {
	const text = "services: [{name: A, handler: x, options: {takes: %s, apiKey: %s, city: %s}}]"
	changes := config.Diff(setOf(t, fmt.Sprintf(text, "5ms", "1s", "Bonn"), "", ""), setOf(t, fmt.Sprintf(text, "1m30s", "2s", "Mainz"), "", ""))
	want := []string{"service A: options.apiKey … → …, city … → …, takes 5ms → 1m30s (easymicro.yaml:1)"}
	if diff := cmp.Diff(want, changes.Lines()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDiffOfRoutesNamesTheChangedOnes(t *testing.T) {
	const head = "services: [{name: A, handler: x}]\ngateway:\n  get: [%s]\n  routes:\n"
	old := fmt.Sprintf(head, "A.Mul") + "  - {path: /v1/same, service: A, method: Same}\n  - {path: /v1/gone, service: A, method: Gone}\n" +
		"  - {path: /v1/mul, service: A, method: Mul}\n  - {path: /v1/two, methods: [GET], service: A, method: Get}\n"
	next := fmt.Sprintf(head, "A.Add") + "  - {path: /v1/two, methods: [PUT], service: A, method: Put}\n  - {path: /v1/two, methods: [GET], service: A, method: Get}\n" +
		"  - {path: /v1/mul, methods: [POST, PUT], service: A, method: Mul2}\n  - {path: \"/v1/{x}\", service: A, method: New}\n  - {path: /v1/same, service: A, method: Same}\n"
	changes := config.Diff(setOf(t, old, "", ""), setOf(t, next, "", ""))
	want := []string{
		"route /v1/two added (easymicro.yaml:5)",
		"route /v1/mul: methods [POST] → [POST, PUT], method Mul → Mul2 (easymicro.yaml:7)",
		"route /v1/{x} added (easymicro.yaml:8)",
		"route /v1/gone removed (easymicro.yaml:6)",
		"gateway.get [A.Mul] → [A.Add] (easymicro.yaml:3)",
	}
	if diff := cmp.Diff(want, changes.Lines()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDiffOfUpstreamsAndDiscoveryIsByNameAndLive(t *testing.T) {
	const old = "services: [{name: A, handler: x, uses: {billing: billing}}]\nupstreams:\n  - {name: billing, service: Billing, resolve: {etcd: main}}\n  - {name: gone, service: Gone, resolve: {dns: \"g:1\"}}\n" +
		"discovery:\n  etcd:\n    - {name: main, endpoints: [\"http://a:2379\"], register: {advertise: \"b:1\"}, usernameFile: u, passwordFile: p}\n"
	const next = "services: [{name: A, handler: x, uses: {billing: new}, publish: false, metadata: {weight: \"5\"}}]\nupstreams:\n  - {name: new, service: New, resolve: {file: n.yaml}}\n  - {name: billing, service: Billing, resolve: {dns: \"b:1\"}, tls: {caFile: ca.pem}}\n" +
		"discovery:\n  etcd:\n    - {name: main, endpoints: [\"http://a:2379\", \"http://b:2379\"], register: {advertise: \"b:1\", leaseTTL: 5s}, usernameFile: u, passwordFile: p}\n    - {name: far, endpoints: [\"http://c:2379\"]}\n"
	a, b := setOf(t, old, "", ""), setOf(t, next, "", "")
	a.Contents, b.Contents = config.Contents{"u": []byte("user"), "p": []byte("canary1")}, config.Contents{"u": []byte("user"), "p": []byte("canary2"), "ca.pem": nil}
	changes := config.Diff(a, b)
	want := []string{
		"service A: uses.billing billing → new, publish none → false, metadata.weight none → 5 (easymicro.yaml:1)",
		"upstream new added (easymicro.yaml:3)",
		"upstream billing: resolve.etcd main → none, dns none → b:1, tls added {caFile: ca.pem} (easymicro.yaml:4)",
		"upstream gone removed (easymicro.yaml:4)",
		"discovery main: endpoints [http://a:2379] → [http://a:2379, http://b:2379], register.leaseTTL 10s → 5s (easymicro.yaml:7)",
		"discovery far added (easymicro.yaml:8)",
		"p content changed (easymicro.yaml:7)",
	}
	if diff := cmp.Diff(want, changes.Lines()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if changes.Class() != config.Live || strings.Contains(fmt.Sprintf("%+v %v %#v", changes, b.Contents, b.Contents), "canary") {
		t.Errorf("class %s of %+v", changes.Class(), changes)
	}
}
