package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config"
)

func decodeRule(t *testing.T, body string) *config.Rule {
	t.Helper()
	rules, problems := config.DecodeRules("p.yaml", []byte("rules:\n- name: a\n  match: {service: A}\n"+body), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return &rules[0]
}

func TestDefaultsAreFilledIn(t *testing.T) {
	r := decodeRule(t, "  rateLimit: {rate: 2.5}\n  concurrency: {max: 5}\n  circuitBreaker: {consecutiveFailures: 3}\n")
	want := config.RateLimit{Rate: 2.5, Per: config.Duration(time.Second), Burst: 2, MaxKeys: 10000, OnMissingKey: "share", OnExceed: "reject", MaxWait: config.Duration(100 * time.Millisecond), Scope: "host"}
	if diff := cmp.Diff(want, *r.RateLimit); diff != "" {
		t.Error(diff)
	}
	if r.Mode != config.Enforce || r.CircuitBreaker.MinRequests != 20 || r.CircuitBreaker.OpenTimeout.Std() != 5*time.Second {
		t.Errorf("%+v", r.CircuitBreaker)
	}
	if got := strings.Join(r.CircuitBreaker.FailOn, " "); got != "UNAVAILABLE DEADLINE_EXCEEDED INTERNAL" {
		t.Errorf("failOn %s", got)
	}
	if diff := cmp.Diff([]config.Kind{config.KindRateLimit, config.KindCircuitBreaker, config.KindConcurrency}, r.Kinds()); diff != "" {
		t.Error(diff)
	}
	m, problems := config.DecodeManifest("m.yaml", []byte("services: [{name: A, handler: b}]"), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if len(m.Listeners) != 1 || m.Listeners[0].Address != "127.0.0.1:8972" || m.Listeners[0].Limits.MaxMessageBytes != 4<<20 || len(m.Listeners[0].Protocols) != 2 {
		t.Errorf("listeners %+v", m.Listeners)
	}
	if m.Admin.Address != "127.0.0.1:8970" || m.Policies.Watch.Debounce.Std() != 100*time.Millisecond || m.Host.Shutdown.DrainDelay != nil {
		t.Errorf("%+v %+v", m.Admin, m.Policies.Watch)
	}
}

func TestARateWithATimeIsSuggestedAsTwoFields(t *testing.T) {
	const none = ""
	for text, want := range map[string]string{
		"100/d": "rate: 100, per: 24h", "100/1 day": "rate: 100, per: 24h", "100/7d": none, "10/2days": none, "100/48h": none, "10/0s": none,
		"5/30s": "rate: 5, per: 30s", "2.5/min": "rate: 2.5, per: 1m", "9 per 90 minutes": "rate: 9, per: 90m", "7/week": none, "7/5": none,
		"5M/s": "rate: 5000000, per: 1s", "5k req/s": "rate: 5000, per: 1s", "5 m/s": none, "5m": none,
	} {
		_, problems := config.DecodeRules("p.yaml", []byte("rules:\n- name: a\n  match: {service: A}\n  rateLimit:\n    rate: "+text+"\n"), nil)
		got := problems.Error()
		if want != none && !strings.HasSuffix(got, ": "+want) || want == none && (strings.Contains(got, "per: ") || strings.Contains(got, "did you mean")) || len(problems) != 1 {
			t.Errorf("%s: %s, want %q", text, got, want)
		}
	}
}

func TestTheDefaultBurstFollowsTheRate(t *testing.T) {
	for rate, want := range map[string]int64{"0.25": 1, "1": 1, "500": 500, "7.9": 7} {
		if got := decodeRule(t, "  rateLimit: {rate: "+rate+"}\n").RateLimit.Burst; got != want {
			t.Errorf("rate %s: burst %d, want %d", rate, got, want)
		}
	}
}

func TestAPositionIsThatOfTheValueOrItsParent(t *testing.T) {
	r := decodeRule(t, "  rateLimit:\n    rate: 5\n    key: caller\n  access: {allow: [{caller: web}]}\n")
	for path, want := range map[string]config.Position{
		"": {File: "p.yaml", Line: 2, Column: 3}, "name": {File: "p.yaml", Line: 2, Column: 9}, "rateLimit.rate": {File: "p.yaml", Line: 5, Column: 11},
		"rateLimit.burst": {File: "p.yaml", Line: 5, Column: 5}, "timeout": {File: "p.yaml", Line: 2, Column: 3},
		"access.allow[0].caller": {File: "p.yaml", Line: 7, Column: 29}, "access.allow[0].methods": {File: "p.yaml", Line: 7, Column: 20},
	} {
		if got := r.Position(path); got != want {
			t.Errorf("%q is in %s:%d, want %s:%d", path, got, got.Column, want, want.Column)
		}
	}
}

func TestScalarsPrintAsWritten(t *testing.T) {
	for want, got := range map[string]interface{ String() string }{
		"2m": config.Duration(2 * time.Minute), "1h": config.Duration(time.Hour), "1m30s": config.Duration(90 * time.Second), "500ms": config.Duration(500 * time.Millisecond), "0s": config.Duration(0),
		"4MiB": config.Bytes(4 << 20), "1000B": config.Bytes(1000), "0B": config.Bytes(0), "1536KiB": config.Bytes(1536 << 10),
		"50%": config.Share(0.5), "7%": config.Share(0.07), "12.5%": config.Share(0.125), "0.1%": config.Share(0.001), "500": config.Rate(500), "0.5": config.Rate(0.5),
	} {
		if got.String() != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestAddressesSplit(t *testing.T) {
	for address, want := range map[config.Address]string{
		"tcp://0.0.0.0:8972": "tcp 0.0.0.0:8972", ":8972": "tcp :8972", "localhost:0": "tcp localhost:0", "unix://run/a.sock": "unix run/a.sock", "unix:///run/a.sock": "unix /run/a.sock", "[::1]:80": "tcp [::1]:80",
	} {
		network, at, err := address.Split()
		if got := network + " " + at; err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", address, got, err, want)
		}
	}
	if _, _, err := config.Address("systemd:main").Split(); err == nil || !strings.Contains(err.Error(), "cannot be called") {
		t.Errorf("systemd: %v", err)
	}
	if network, name, err := config.Address("systemd:main").Listen(); network != "systemd" || name != "main" || err != nil {
		t.Errorf("systemd: %s %s %v", network, name, err)
	}
	for address, want := range map[config.Address]bool{"127.0.0.1:1": true, "localhost:1": true, "[::1]:1": true, "unix://a": true, ":1": false, "0.0.0.0:1": false, "10.0.0.1:1": false, "x": false} {
		if address.Loopback() != want {
			t.Errorf("%s loopback: %v", address, !want)
		}
	}
}

func TestSuggestions(t *testing.T) {
	known := []string{"rate", "per", "burst", "key", "maxKeys", "onExceed", "maxWait", "description", "Arith"}
	for word, want := range map[string]string{
		"raet": "rate", "rat": "rate", "brust": "burst", "maxkeys": "maxKeys", "on_exceed": "onExceed", "arith": "Arith", "desc": "description", "qqq": "", "x": "", "": "", "completelyother": "",
		"rate": "", "Arith": "", // they are known
	} {
		if got := config.Suggest(word, known); got != want {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
}

func TestBothVersionsOfYAMLAreAccepted(t *testing.T) {
	const rules = "rules:\n  - {name: a, match: {service: Arith}, timeuot: 1s}\n"
	for _, head := range []string{"%YAML 1.1\n---\n", "%YAML 1.2\n---\n", "# made\n%YAML 1.2\r\n--- # here\n"} {
		_, problems := config.DecodeRules("p.yaml", []byte(head+rules), nil)
		if len(problems) == 0 || !strings.Contains(problems.Error(), "timeuot: unknown key (did you mean timeout?)") {
			t.Errorf("%q: %v", head, problems)
		}
	}
	for text, want := range map[string]string{
		"%YAML 1.3\n---\nrules: []": "%YAML: only YAML 1.1 and 1.2 are supported; leave the line out",
		"%YAML 1.2\nrules: []":      "a line --- must follow %YAML",
		"%FOO\n---\nrules: []":      "a line that begins with % is a YAML directive, and only %YAML before the first --- is supported",
		"rules: []\n%YAML 1.2\n":    "a line that begins with % is a YAML directive, and only %YAML before the first --- is supported",
	} {
		if _, problems := config.DecodeRules("p.yaml", []byte(text), nil); len(problems) != 1 || problems[0].Message != want {
			t.Errorf("%q: %v", text, problems)
		}
	}
}

func TestAMemoryLimitIsAutoOffOrASize(t *testing.T) {
	for text, want := range map[string]string{
		"auto": "auto", "off": "off", "1GiB": "1GiB", "512 MiB": "512MiB", "1TiB": "1TiB",
		"0": "must be auto, off or a size like 1GiB, not 0 (did you mean off?)", "none": `must be auto, off or a size like 1GiB, not "none" (did you mean off?)`,
		"Auto": `must be auto, off or a size like 1GiB, not "Auto" (did you mean auto?)`, "512M": `must be auto, off or a size like 1GiB, not "512M" (did you mean 512MiB?)`,
		"90%": `must be auto, off or a size like 1GiB, not "90%"`, "1000": "1000 has no unit: 1000MiB?",
		"1KiB": "must be from 1MiB to 1TiB, not 1KiB",
	} {
		m, problems := config.DecodeManifest("m.yaml", []byte("host: {memory: {limit: "+text+"}}\nservices: []\n"), nil)
		var got string
		if len(problems) > 0 {
			_, got, _ = strings.Cut(problems[0].String(), "host.memory.limit: ")
		} else {
			got = m.Host.Memory.Limit.String()
		}
		if got != want || len(problems) > 1 {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
