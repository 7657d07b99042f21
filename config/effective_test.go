package config_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config"
)

// effective returns the effective form of a set.
func effective(t *testing.T, set *config.Set) *config.Effective {
	t.Helper()
	e, err := config.EffectiveOf(set)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// What is printed is a manifest that means the same, whatever was written.
func TestTheEffectiveManifestMeansTheSame(t *testing.T) {
	paths, err := filepath.Glob("testdata/good/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		set, _ := decodeSet(filepath.Base(path), data)
		text := effective(t, set).YAML
		again, problems := config.DecodeManifest("again.yaml", []byte(text), nil)
		if len(problems) > 0 {
			t.Errorf("%s: %v in\n%s", path, problems, text)
			continue
		}
		next := &config.Set{Manifest: again, Rules: again.Policies.Rules, Tokens: set.Tokens, Operators: set.Operators}
		for _, c := range config.Diff(set, next) {
			if !strings.Contains(c.Path, "options") { // some are hidden
				t.Errorf("%s: %s", path, c.Text)
			}
		}
	}
}

func TestEachEffectiveValueHasItsPlaceOrIsADefault(t *testing.T) {
	m, problems := config.DecodeManifest("easymicro.yaml", []byte(`services:
  - name: Arith
    handler: samples.arith
    aliases: [Sum, "true"]
    metadata: {weight: "10"}
policies:
  files: [p.yaml]
  autoRollback: off
`), nil)
	if problems = append(problems, m.Override("host.name", "desk-1", "--name")...); len(problems) > 0 {
		t.Fatal(problems)
	}
	rules, problems := config.DecodeRules("p.yaml", []byte(`rules:
  - name: mul
    match:
      service: Arith
      except: {caller: "a${B}"}
    rateLimit: {rate: 500, key: [caller, method]}
    timeout: 1500ms
`), func(string) (string, bool) { return "$${x}", true })
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	e := effective(t, &config.Set{Manifest: m, Rules: rules})
	for _, line := range []string{
		"version: 1 # default\n", "  name: desk-1 # --name\n", "    protocols: [rpcx, http] # default\n", "    address: 127.0.0.1:8972 # default\n",
		"  - name: Arith # easymicro.yaml:2\n", "    aliases: [Sum, \"true\"] # easymicro.yaml:4\n", "      weight: \"10\" # easymicro.yaml:5\n",
		"  autoRollback: off # easymicro.yaml:8\n", "  files: [p.yaml] # easymicro.yaml:7\n", "    - name: mul # p.yaml:2\n",
		"        service: Arith # p.yaml:4\n", "          caller: a$$${x} # p.yaml:5\n", "        rate: 500 # p.yaml:6\n",
		"        burst: 500 # default\n", "        key: [caller, method] # p.yaml:6\n", "      timeout: 1.5s # p.yaml:7\n", "      mode: enforce # default\n",
	} {
		if !strings.Contains(e.YAML, line) {
			t.Errorf("no line %q in\n%s", line, e.YAML)
		}
	}
	for path, want := range map[string]string{
		"host.name":                             `{"value":"desk-1","file":"--name"}`,
		"services[0].aliases":                   `{"value":["Sum","true"],"file":"easymicro.yaml","line":4,"column":14}`,
		"policies.rules[0].rateLimit.rate":      `{"value":500,"file":"p.yaml","line":6,"column":23}`,
		"policies.rules[0].match.except.caller": `{"value":"a$${x}","file":"p.yaml","line":5,"column":24}`,
		"policies.rules[0].timeout":             `{"value":"1.5s","file":"p.yaml","line":7,"column":14}`,
		"policies.allowEmpty":                   `{"value":false,"default":true}`,
		"telemetry.traces.sampleRatio":          `{"value":"5%","default":true}`,
	} {
		got, err := json.Marshal(e.Values[path])
		if d := cmp.Diff(want, string(got)); d != "" || err != nil {
			t.Errorf("%s (-want +got): %v\n%s", path, err, d)
		}
	}
}

func TestEffectiveOptionsHideWhatMayBeASecret(t *testing.T) {
	m, problems := config.DecodeManifest("easymicro.yaml", []byte(`x-pool: &pool {max: 5, dsn: canary}
admin: {tokenFile: admin.token}
services:
  - name: Arith
    handler: samples.arith
    options:
      precision: 4
      retry: 500ms
      fast: true
      url: http://canary
      pin: 1234567
      expanded: ${SECRET}
      credentials: {user: canary, number: 1234567}
      ratios: [0.5, canary, {a: canary}]
      pool: *pool
      none: {}
`), func(string) (string, bool) { return "canary", true })
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	e := effective(t, &config.Set{Manifest: m, Contents: config.Contents{"admin.token": []byte("canary")}})
	values, err := json.Marshal(e.Values)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"canary", "1234567"} {
		if strings.Contains(e.YAML, secret) || strings.Contains(string(values), secret) {
			t.Errorf("%s is shown:\n%s%s", secret, e.YAML, values)
		}
	}
	for _, line := range []string{
		"  tokenFile: admin.token # easymicro.yaml:2\n", "      precision: 4 # easymicro.yaml:7\n", "      retry: 500ms # easymicro.yaml:8\n",
		"      fast: true # easymicro.yaml:9\n", "      url: … # easymicro.yaml:10\n", "        number: … # easymicro.yaml:13\n",
		"      ratios: [0.5, …, …] # easymicro.yaml:14\n", "        max: 5 # easymicro.yaml:1\n", "      none: {} # easymicro.yaml:16\n",
	} {
		if !strings.Contains(e.YAML, line) {
			t.Errorf("no line %q in\n%s", line, e.YAML)
		}
	}
	if v := e.Values["services[0].options.pool.max"]; v.Line != 1 || v.Value != int64(5) {
		t.Errorf("%+v", v)
	}
}
