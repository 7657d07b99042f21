package schema_test

import (
	"bytes"
	"context"
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/registry"
	_ "github.com/easymicro/easymicro/samples" // its handlers are those of the generated files
	"github.com/easymicro/easymicro/schema"
)

var update = flag.Bool("update", false, "write the generated files anew")

func TestGeneratedFilesAreThoseOfTheTypes(t *testing.T) {
	for file, of := range map[string]func(*registry.Registry, ...string) ([]byte, error){
		"easymicro.schema.json":  schema.Manifest,
		"policies.schema.json":   schema.Policies,
		"policytest.schema.json": schema.PolicyTest,
	} {
		want, err := of(registry.Default())
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("schema/%s is not what the types and the samples' handlers say: run `make generate`", file)
		}
	}
}

func TestSamplesValidate(t *testing.T) {
	v := newValidator(t, registry.Default())
	for _, file := range glob(t, "../samples/*/*.yaml", "../samples/*/*/*.yaml") {
		doc, err := read(t, file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		switch kindOf(doc) {
		case manifest, policies, tests:
			if err := v.validate(doc); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		case tokens, foreign: // not described
		case unknown:
			t.Errorf("%s is no manifest, no policy file and no list of tokens", file)
		}
	}
}

type options struct {
	Precision int           `yaml:"precision" min:"0" max:"12" doc:"Digits behind the point."`
	Pause     time.Duration `yaml:"pause"`
	Labels    []string      `yaml:"labels"`
	Peer      netip.Addr    `yaml:"peer"`
	Size      config.Bytes  `yaml:"size"`
	Free      any           `yaml:"free" doc:"Whatever it is."`
	Inner     struct {
		MaxItems int
	} `yaml:"inner"`
	hidden int
}

type calc struct{}

func (calc) Mul(context.Context, *struct{ A, B int }, *struct{ C int }) error { return nil }
func (calc) Div(context.Context, *struct{ A, B int }, *struct{ C int }) error { return nil }

func handlers() *registry.Registry {
	reg := registry.New()
	defaults := options{Precision: 4, Pause: time.Second, hidden: 1, Peer: netip.MustParseAddr("10.0.0.1"), Size: 1 << 20}
	defaults.Inner.MaxItems = 7
	registry.Register("test.calc", defaults, func(context.Context, options, registry.Env) (*registry.Service, error) {
		return registry.Receiver(calc{}), nil
	}, registry.In(reg), registry.Methods[calc]())
	registry.Plain(calc{}, registry.As("test.plain"), registry.In(reg))
	return reg
}

func TestManifestAcceptsAndRejects(t *testing.T) {
	v := newValidator(t, handlers())
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{`services: [{name: A, handler: test.calc}]`, true},
		{`services: [{name: A, handler: "${HANDLER:-test.calc}"}]`, true},
		{`services: [{name: A, handler: test.other}]`, false},
		{`services: [{name: A}]`, false},
		{`services: [{handler: test.calc}]`, false},
		{`services: [{name: A, handler: test.calc, options: {precision: 2, pause: 1m30s, labels: [x], inner: {maxItems: 3}}}]`, true},
		{`services: [{name: A, handler: test.calc, options: {peer: 10.0.0.9, size: 4MiB, free: {a: [1, x]}}}]`, true},
		{`services: [{name: A, handler: test.calc, options: {size: 4}}]`, false},
		{`services: [{name: A, handler: test.calc, options: {precision: "${P}"}}]`, true},
		{`services: [{name: A, handler: test.calc, options: {precison: 2}}]`, false},
		{`services: [{name: A, handler: test.calc, options: {hidden: 2}}]`, false},
		{`services: [{name: A, handler: test.calc, options: {precision: 13}}]`, false},
		{`services: [{name: A, handler: test.calc, options: {pause: 5}}]`, false},
		{`services: [{name: A, handler: test.plain, options: {precision: 1}}]`, false},
		{`services: [{name: A, handler: test.plain, methods: {expose: [Mul]}}]`, true},
		{`services: [{name: A, handler: test.plain, methods: {expose: [Mull]}}]`, false},
		{`service: []`, false},
		{`listeners: [{name: main, address: ":8972", limits: {maxMessageBytes: 4MiB, idleTimeout: 2m}}]`, true},
		{`listeners: [{name: main, address: ":${PORT:-8972}"}]`, true},
		{`listeners: [{name: main, address: "8972"}]`, false},
		{`listeners: [{name: main, address: ":8972", limits: {maxMessageBytes: 4 apples}}]`, false},
		{`listeners: [{name: main, address: ":8972", limits: {idleTimeout: 120}}]`, false},
		{`listeners: [{name: main, address: ":8972", protocols: [grpc]}]`, false},
		{`listeners: [{name: main, address: ":8972", tls: {certFile: a, keyFile: b, clientAuth: require}}]`, true},
		{`listeners: [{name: main, address: ":8972", tls: {certFile: a}}]`, false},
		{`listeners: [{name: main, address: ":8972", proxyProtocol: {from: [unix]}}]`, true},
		{`listeners: [{name: main, address: ":8972", proxyProtocol: {from: []}}]`, false},
		{`upstreams: []`, true},
		{`upstreams: [{name: b, service: B, resolve: {dns: "b:1"}}]`, true},
		{`upstreams: [{name: b, service: B, resolve: {dns: "b:1", etcd: main}}]`, false},
		{`upstreams: [{name: b, service: B, resolve: {}}]`, false},
		{`upstreams: [{name: b, service: B, resolve: {endpoints: []}}]`, false},
		{`upstreams: [{name: b, service: B, resolve: {dns: "b:1"}, loadBalancer: {policy: consistentHash, hashOn: user}}]`, false},
		{`discovery: {}`, true},
		{`discovery: {etcd: [{name: main, endpoints: ["http://127.0.0.1:2379"], usernameFile: u}]}`, false},
		{`auth: {identify: [token], tokens: {file: t.yaml}, trustedProxies: [10.0.0.0/8]}`, true},
		{`auth: {identify: [mtls], mtls: {callerFrom: san.uri}}`, true},
		{`auth: {identify: [mtls], mtls: {}}`, false},
		{`auth: {identify: [jwt]}`, true},
		{`admin: {address: "", pprof: true}`, true},
		{`admin: {console: true}`, false},
		{`admin: {console: false}`, true},
		{`policies: {autoRollback: off}`, true},
		{`policies: {autoRollback: {window: 5s, maxNewFailures: 20%}}`, true},
		{`policies: {autoRollback: on}`, false},
		{`listeners: [{name: main, address: ":8972", limits: {maxConnectionAge: 0}}]`, true},
		{`listeners: [{name: main, address: ":8972", limits: {maxConnectionAge: 1h}}]`, true},
		{`telemetry: {traces: {otlpEndpoint: "", sampleRatio: 0.05}}`, true},
		{`telemetry: {traces: {otlpEndpoint: "http://collector:4318"}}`, true},
		{`policies: {files: [p.d/*.yaml], watch: {debounce: 50ms}}`, true},
		{`policies: {onBadStart: lastGood}`, true},
		{`host: {state: {dir: ./state}}`, true},
		{`host: {state: {history: 5}}`, false},
		{`host: {name: a, labels: {env: prod}, shutdown: {gracePeriod: 10s}}`, true},
	} {
		check(t, v, c.text, c.ok)
	}
}

func TestPoliciesAcceptAndReject(t *testing.T) {
	v := newValidator(t, handlers())
	for _, c := range []struct {
		rule string
		ok   bool
	}{
		{`name: r, match: {service: A, method: [Mul, "D*"], caller: web, peer: 10.0.0.0/8}, timeout: 800ms`, true},
		{`name: r, match: {service: A}, rateLimit: {rate: 0.5, per: 1m, burst: 1, key: caller, onExceed: wait, maxWait: 10ms}`, true},
		{`name: r, match: {service: A}, rateLimit: {rate: "${RATE}"}, mode: "${MODE:-enforce}", enforceShare: 10%`, true},
		{`name: r, match: {service: A}, access: {allow: [{caller: "web-*"}, {caller: b, methods: [Export]}]}`, true},
		{`name: r, match: {service: A}, concurrency: {max: 10, queue: 5, queueTimeout: 1s}, expires: 2026-12-31T00:00:00Z`, true},
		{`name: r, match: {service: A}, circuitBreaker: {failureRate: 0.5, failOn: [UNAVAILABLE]}, autoRollback: off`, true},
		{`name: r, match: {service: A}, timeout: 1s, mode: enforce, enforceShare: 0.1`, true},
		{`name: r, match: {service: A}, timeout: 1s, mode: shadow, enforceShare: 0.1`, false},
		{`name: r, match: {service: A}`, false},
		{`name: r, match: {service: ^A$}, timeout: 1s`, false},
		{`name: r, match: {service: A, peer: office}, timeout: 1s`, false},
		{`name: r, match: {service: A}, access: {}`, false},
		{`name: r, match: {service: A}, access: {allow: []}`, false},
		{`name: r, match: {service: A}, rateLimit: {rate: 0}`, false},
		{`name: r, match: {service: A}, circuitBreaker: {failureRate: 120%}`, false},
		{`name: r, timeout: 1s`, false},
		{`match: {service: A}, timeout: 1s`, false},
		{`name: r r, match: {service: A}, timeout: 1s`, false},
		{`name: r, match: {}, timeout: 1s`, false},
		{`name: r, match: {method: Mul}, timeout: 1s`, false},
		{`name: r, match: {upstream: billing}, timeout: 1s`, true},
		{`name: r, match: {upstream: billing, method: Get}, retry: {budget: 20%}, hedge: {delay: 1ms, methods: [Get]}`, true},
		{`name: r, match: {upstream: billing}, circuitBreaker: {failureRate: 20%, scope: endpoint}, outlierDetection: {}`, true},
		{`name: r, match: {upstream: billing}, concurrency: {max: 5, queue: 10}`, true},
		{`name: r, match: {upstream: billing}, access: {deny: [{caller: b}]}`, false},
		{`name: r, match: {upstream: billing, peer: 10.0.0.0/8}, timeout: 1s`, false},
		{`name: r, match: {upstream: billing}, retry: {maxAttempts: 1}`, false},
		{`name: r, match: {upstream: billing}, retry: {retryOn: []}`, false},
		{`name: r, match: {upstream: billing}, hedge: {delay: 1ms}`, false},
		{`name: r, match: {service: A}, circuitBreaker: {failureRate: 20%, scope: endpoint}`, false},
		{`name: r, match: {service: A}, outlierDetection: {}`, false},
		{`name: r, match: {service: A}, timeout: 800`, false},
		{`name: r, match: {service: A}, timeout: 1 second`, false},
		{`name: r, match: {service: A}, rateLimit: {raet: 1}`, false},
		{`name: r, match: {service: A}, rateLimit: {rate: fast}`, false},
		{`name: r, match: {service: A}, rateLimit: {rate: 1, burst: 0}`, false},
		{`name: r, match: {service: A}, rateLimit: {rate: 1, scope: fleet}`, false},
		{`name: r, match: {service: A}, rateLimit: {rate: 1, key: user}`, false},
		{`name: r, match: {service: A}, concurrency: {queue: 5}`, false},
		{`name: r, match: {service: A}, concurrency: {adaptive: {}}`, true},
		{`name: r, match: {service: A}, concurrency: {max: 5, adaptive: {}}`, false},
		{`name: r, match: {service: A}, shed: {cpuAbove: 85%}, priority: low`, true},
		{`name: r, match: {service: A}, shed: {cpuAbove: 120%}`, false},
		{`name: r, match: {upstream: billing}, shed: {cpuAbove: 85%}`, false},
		{`name: r, match: {service: A}, circuitBreaker: {interval: 10s}`, false},
		{`name: r, match: {service: A}, circuitBreaker: {failureRate: 20}`, false},
		{`name: r, match: {service: A}, circuitBreaker: {failureRate: 50%, failOn: [OOPS]}`, false},
		{`name: r, match: {service: A}, circuitBreaker: {openTimeout: 5s}`, false},
		{`name: r, match: {service: A}, timeout: 1s, mode: dry`, false},
		{`name: r, match: {service: A}, timeout: 1s, expires: tomorrow`, false},
		{`name: r, match: {service: A}, retry: {}`, false},
	} {
		check(t, v, "rules: [{"+c.rule+"}]", c.ok)
		check(t, v, "policies: {rules: [{"+c.rule+"}]}", c.ok)
	}
	check(t, v, `rules: []`, true)
	check(t, v, `{rules: [], rule: []}`, false)
}

func check(t *testing.T, v validator, text string, ok bool) {
	t.Helper()
	doc, err := fromYAML([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	switch err := v.validate(doc); {
	case ok && err != nil:
		t.Errorf("%s\nrejected: %v", text, err)
	case !ok && err == nil:
		t.Errorf("%s\naccepted", text)
	}
}

func TestGoodManifestsValidate(t *testing.T) {
	v := newValidator(t, registry.New())
	for _, file := range glob(t, "../config/testdata/good/*.yaml", "../config/testdata/good/*/*.yaml") {
		doc, err := read(t, file)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if kindOf(doc) == tokens {
			continue
		}
		if err := v.validate(doc); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// A schema cannot find every problem: not duplicates, ties, references, nor values of variables.
func TestMostBadFilesDoNotValidate(t *testing.T) {
	const least = 0.7
	v := newValidator(t, registry.New())
	var parsed, rejected int
	var missed []string
	for _, file := range glob(t, "../config/testdata/bad/*.yaml", "../config/testdata/bad/*/*.yaml") {
		doc, err := read(t, file)
		if err != nil || kindOf(doc) == tokens {
			continue // not YAML at all, or not described
		}
		parsed++
		if v.validate(doc) != nil {
			rejected++
		} else {
			missed = append(missed, file)
		}
	}
	t.Logf("%d of %d rejected; accepted:\n%s", rejected, parsed, strings.Join(missed, "\n"))
	if float64(rejected) < least*float64(parsed) {
		t.Errorf("only %d of %d bad files are rejected", rejected, parsed)
	}
}
