package load_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
)

const smallest = "services: [{name: Arith, handler: samples.arith}]\n"

func rule(name string) string {
	return "rules:\n  - name: " + name + "\n    match: {service: Arith}\n    timeout: 1s\n"
}

// files writes files to a new directory and returns the path of its manifest.
func files(t *testing.T, content map[string]string) (manifest string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		write(t, filepath.Join(dir, name), text)
	}
	return filepath.Join(dir, "easymicro.yaml")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// problems loads a set with errors and returns its problems line by line.
func problems(t *testing.T, path string, o load.Options) []string {
	t.Helper()
	_, err := load.Load(path, o)
	var p config.Problems
	if !errors.As(err, &p) {
		t.Fatalf("Load: %v, want problems", err)
	}
	return strings.Split(p.Error(), "\n")
}

func mustLoad(t *testing.T, path string, o load.Options) *config.Set {
	t.Helper()
	set, err := load.Load(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func hashOf(path string, o load.Options) (string, error) {
	r, err := load.Read(path, o)
	if err != nil {
		return "", err
	}
	return r.Hash(), nil
}

func ruleNames(set *config.Set) (names []string) {
	for _, r := range set.Rules {
		names = append(names, r.Name)
	}
	return names
}

func TestRulesAreThoseOfTheManifestThenOfTheFiles(t *testing.T) {
	path := files(t, map[string]string{
		"easymicro.yaml":       smallest + "policies:\n  files: [policies.d/*.yaml, \"policies.d/20-*\"]\n  rules: [{name: own, match: {service: A}, timeout: 1s}]\n",
		"policies.d/20-b.yaml": rule("b"), "policies.d/10-a.yaml": rule("a"),
		"policies.d/.#10-a.yaml": "no: policy", "policies.d/#x.yaml": "no", "policies.d/20-x.yaml~": "no", "policies.d/.hidden.yaml": "no",
	})
	set := mustLoad(t, path, load.Options{})
	if diff := cmp.Diff([]string{"own", "a", "b"}, ruleNames(set)); diff != "" {
		t.Error(diff)
	}
	if got := set.Rules[2].Position("timeout").String(); got != "policies.d/20-b.yaml:4" {
		t.Errorf("position %s", got)
	}
	var shown []string
	for _, f := range set.Files {
		shown = append(shown, f.Path)
	}
	if diff := cmp.Diff([]string{"easymicro.yaml", "policies.d/10-a.yaml", "policies.d/20-b.yaml"}, shown); diff != "" {
		t.Error(diff)
	}
}

func TestTheProblemsOfAllFilesAreReported(t *testing.T) {
	path := files(t, map[string]string{
		"easymicro.yaml": smallest + "policies: {files: [p/*.yaml]}\nauth: {identify: [token], tokens: {file: tokens.yaml}}\nhost: {nam: x}\n",
		"p/a.yaml":       "rules:\n  - name: a\n    match: {service: Arith}\n    timeout: 800\n",
		"p/b.yaml":       "rules:\n  - name: same\n    match: {service: Arith}\n    timeout: 1s\n  - name: same\n    match: {service: Arith}\n    timeout: 2s\n",
		"p/c.yaml":       "",
		"p/d.yaml":       "rules: [",
		"tokens.yaml":    "- {caller: web, sha256: canary-secret}\n",
	})
	got := problems(t, path, load.Options{})
	want := []string{
		"easymicro.yaml:4:8: host.nam: unknown key (did you mean name?)",
		"p/a.yaml:4:14: rules[0].timeout: 800 has no unit: 800ms or 800s?",
		"p/b.yaml:5:11: rules[1].name: the name same is taken by the rule in p/b.yaml:2",
		"p/c.yaml:1:1: empty: to have no rules write `rules: []`",
		"p/d.yaml:2:1: unexpected end of file: something above is not closed",
		"tokens.yaml:1:25: [0].sha256: must be the SHA-256 of the token in 64 hexadecimal digits; this has 13 characters",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Each file is refused at its first byte, since decoding 16 MiB would take long, but counts as what was read.
func TestTheSizeOfASetIsBounded(t *testing.T) {
	path := files(t, map[string]string{"easymicro.yaml": smallest + "policies: {files: [p/*.yaml]}\n"})
	var want []string
	for i := range 17 {
		name := fmt.Sprintf("p/%c.yaml", 'a'+i)
		zeros := filepath.Join(filepath.Dir(path), name)
		write(t, zeros, "")
		if err := os.Truncate(zeros, 1<<20-10); err != nil {
			t.Fatal(err)
		}
		want = append(want, name+":1:1: control character 0x00: this is not a text file")
	}
	want[16] = "p/q.yaml:1:1: is not read: the set has more than 16 MiB"
	if diff := cmp.Diff(want, problems(t, path, load.Options{})); diff != "" {
		t.Error(diff)
	}
}

func TestTheNumberOfRulesIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("decodes 20,000 rules in one goroutine")
	}
	path := files(t, map[string]string{"easymicro.yaml": smallest + "policies: {files: [p/*.yaml]}\n"})
	var text strings.Builder
	text.WriteString("rules:\n")
	for i := range 10_001 {
		fmt.Fprintf(&text, "- {name: NAME%d, match: {service: A}, timeout: 1s}\n", i)
	}
	for _, name := range []string{"a", "b"} {
		write(t, filepath.Join(filepath.Dir(path), "p", name+".yaml"), strings.ReplaceAll(text.String(), "NAME", name))
	}
	want := []string{"p/b.yaml:10001:3: rules[9999]: the set has 20002 rules: at most 20000 are allowed"}
	if diff := cmp.Diff(want, problems(t, path, load.Options{})); diff != "" {
		t.Error(diff)
	}
}

func TestAMissingManifestIsNoProblemOfASet(t *testing.T) {
	_, err := load.Load(filepath.Join(t.TempDir(), "easymicro.yaml"), load.Options{})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want not exist", err)
	}
}

func TestPatternsThatMatchNothing(t *testing.T) {
	const two = smallest + "policies:\n  files:\n    - a/*.yaml\n    - b/*.yaml\n"
	for name, c := range map[string]struct {
		manifest string
		files    map[string]string
		reload   bool
		want     string // part of the problem; none: it loads
	}{
		"one at start":              {two, map[string]string{"a/x.yaml": rule("x")}, false, "easymicro.yaml:5:7: policies.files[1]: matches no file"},
		"a wrong pattern":           {smallest + "policies: {files: [\"a/**/*.yaml\"]}\n", nil, false, "policies.files[0]: ** is not supported"},
		"one later":                 {two, map[string]string{"a/x.yaml": rule("x")}, true, "easymicro.yaml:5:7: policies.files[1]: matches no file"},
		"one with allowEmpty":       {two + "  allowEmpty: true\n", map[string]string{"a/x.yaml": rule("x")}, true, ""},
		"all with allowEmpty":       {two + "  allowEmpty: true\n", nil, false, ""},
		"all later with allowEmpty": {two + "  allowEmpty: true\n", nil, true, ""},
		"by name":                   {smallest + "policies: {files: [x.yaml]}\n", nil, true, "easymicro.yaml:2:20: policies.files[0]: x.yaml cannot be read: no such file or directory"},
		"by name in another folder": {smallest + "policies: {files: [p/x.yaml]}\n", nil, true, "policies.files[0]: p/x.yaml cannot be read: no such file or directory"},
		"by its other suffix":       {smallest + "policies: {files: [x.yaml]}\n", map[string]string{"x.yml": rule("x")}, true, "(did you mean x.yml?)"},
		"by name with allowEmpty":   {smallest + "policies: {files: [x.yaml], allowEmpty: true}\n", nil, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			content := map[string]string{"easymicro.yaml": c.manifest}
			for name, text := range c.files {
				content[name] = text
			}
			path := files(t, content)
			if c.want == "" {
				mustLoad(t, path, load.Options{Reload: c.reload})
				return
			}
			if got := problems(t, path, load.Options{Reload: c.reload}); len(got) != 1 || !strings.Contains(got[0], c.want) {
				t.Errorf("got %q, want %s", got, c.want)
			}
		})
	}
}

// An existing file is neither reported as missing nor ignored with allowEmpty.
func TestAFileNamedLikeATemporaryFileIsAnError(t *testing.T) {
	for _, name := range []string{".rules.yaml", "p/.lock.yaml", "rules.yaml~", "#x.yaml"} {
		for _, allowEmpty := range []bool{false, true} {
			path := files(t, map[string]string{
				"easymicro.yaml": smallest + fmt.Sprintf("policies: {files: [%q], allowEmpty: %v}\n", name, allowEmpty), name: rule("a"),
			})
			want := "policies.files[0]: " + name + " is not a policy file: its name begins with . or # or ends in ~"
			if got := problems(t, path, load.Options{}); len(got) != 1 || !strings.HasSuffix(got[0], want) {
				t.Errorf("got %q, want %s", got, want)
			}
		}
	}
}

func TestTheFallbackReplacesBadPolicyFilesAtStart(t *testing.T) {
	content := map[string]string{
		"easymicro.yaml": smallest + "policies: {files: [p/*.yaml], fallback: [baked/*.yaml]}\n",
		"p/a.yaml":       "rules:\n  - nam: a\n", "baked/a.yaml": rule("baked"),
	}
	path := files(t, content)
	set := mustLoad(t, path, load.Options{})
	if set.Fallback != "fallback" || len(set.Rejected) == 0 || len(set.Warnings) == 0 {
		t.Errorf("fallback %q, rejected %v, warnings %v", set.Fallback, set.Rejected, set.Warnings)
	}
	if diff := cmp.Diff([]string{"baked"}, ruleNames(set)); diff != "" {
		t.Error(diff)
	}
	if len(set.Desired) != 2 || set.Desired[1].Path != "p/a.yaml" || !strings.HasSuffix(set.Warnings[0].Message, "fix p/a.yaml") {
		t.Errorf("desired %v, %v", set.Desired, set.Warnings)
	}
	if hash, err := hashOf(path, load.Options{}); err != nil || hash != set.Hash {
		t.Errorf("the hash is of the fallback, not of the files: %v", err)
	}
	problems(t, path, load.Options{Reload: true})
	write(t, path, content["easymicro.yaml"]+"hots: {}\n")
	problems(t, path, load.Options{})
}

func TestTheHashIsOfPathsAndContents(t *testing.T) {
	path := files(t, map[string]string{"easymicro.yaml": smallest + "policies: {files: [p/*.yaml]}\n", "p/a.yaml": rule("a"), "p/b.yaml": rule("b")})
	dir := filepath.Dir(path)
	hash := func() string {
		t.Helper()
		h, err := hashOf(path, load.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	first := hash()
	if set := mustLoad(t, path, load.Options{}); set.Hash != first {
		t.Error("Load and Hash differ")
	}
	seen := []string{first}
	for name, change := range map[string]func(){
		"content":      func() { write(t, filepath.Join(dir, "p/a.yaml"), rule("a")+"#") },
		"a new file":   func() { write(t, filepath.Join(dir, "p/c.yaml"), rule("c")) },
		"a rename":     func() { _ = os.Rename(filepath.Join(dir, "p/b.yaml"), filepath.Join(dir, "p/d.yaml")) },
		"a bad file":   func() { write(t, filepath.Join(dir, "p/e.yaml"), "rules: [") },
		"a folder":     func() { _ = os.Mkdir(filepath.Join(dir, "p/f.yaml"), 0o755) },
		"the manifest": func() { write(t, path, smallest+"policies: {files: [p/*.yaml]} #\n") },
	} {
		change()
		if h := hash(); slices.Contains(seen, h) {
			t.Errorf("%s does not change the hash", name)
		} else {
			seen = append(seen, h)
		}
	}
	write(t, filepath.Join(dir, "p/.#a.yaml"), "dropping")
	if h := hash(); h != seen[len(seen)-1] {
		t.Error("an editor's dropping changes the hash")
	}
}

func TestFlagsOverrideVariablesAndFiles(t *testing.T) {
	flags := func(args ...string) *pflag.FlagSet {
		f := pflag.NewFlagSet("serve", pflag.ContinueOnError)
		for _, name := range []string{"listen", "name", "log-level", "log-format", "admin-listen"} {
			f.String(name, "", "")
		}
		if err := f.Parse(args); err != nil {
			t.Fatal(err)
		}
		return f
	}
	const file = smallest + "host: {name: File.Name}\nlisteners: [{name: main, address: \":1111\"}]\ntelemetry: {logs: {level: warn}}\nadmin: {address: \"127.0.0.1:2222\"}\n"
	path := files(t, map[string]string{"easymicro.yaml": file})
	values := func(m *config.Manifest) string {
		return strings.Join([]string{m.Host.Name, string(m.Listeners[0].Address), m.Telemetry.Logs.Level, m.Telemetry.Logs.Format, string(m.Admin.Address)}, " ")
	}
	if got, want := values(mustLoad(t, path, load.Options{Flags: flags()}).Manifest), "File.Name :1111 warn auto 127.0.0.1:2222"; got != want {
		t.Errorf("file: %s, want %s", got, want)
	}
	for name, value := range map[string]string{"LISTEN": "127.0.0.1:3333", "NAME": "Env.Name", "LOG_LEVEL": "debug", "LOG_FORMAT": "json", "ADMIN_LISTEN": "127.0.0.1:4444"} {
		t.Setenv("EASYMICRO_"+name, value)
	}
	if got, want := values(mustLoad(t, path, load.Options{}).Manifest), "Env.Name 127.0.0.1:3333 debug json 127.0.0.1:4444"; got != want {
		t.Errorf("variables: %s, want %s", got, want)
	}
	given := load.Options{Flags: flags("--listen=:5555", "--log-level=error", "--admin-listen=")}
	for range 2 { // as a reload does
		if got, want := values(mustLoad(t, path, given).Manifest), "Env.Name :5555 error json "; got != want {
			t.Errorf("flags: %q, want %q", got, want)
		}
	}
	t.Setenv("EASYMICRO_LOG_FORMAT", "xml")
	want := []string{
		"--admin-listen: admin.address: 0.0.0.0:1 can be reached from other machines: that needs admin.tokens or admin.tokenFile",
		"--listen: listeners[0].address: 8972 has no host: write \"127.0.0.1:8972\", or \":8972\" for every address of this machine",
		"--log-level: telemetry.logs.level: \"inof\" is not one of debug, info, warn, error (did you mean info?)",
		"EASYMICRO_LOG_FORMAT: telemetry.logs.format: \"xml\" is not one of auto, text, json",
	}
	got := problems(t, path, load.Options{Flags: flags("--listen=8972", "--log-level=inof", "--admin-listen=0.0.0.0:1")})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A variable that nothing reads is a warning if its name has our prefix.
func TestUnknownVariablesAreWarnings(t *testing.T) {
	path := files(t, map[string]string{
		"easymicro.yaml": smallest + "host: {name: \"${EASYMICRO_REGION:-here}\"}\npolicies: {files: [p.yaml]}\n",
		"p.yaml":         "rules: [{name: a, match: {service: \"*\"}, timeout: \"${EASYMICRO_BUDGET}\"}]",
	})
	for name, value := range map[string]string{
		"EASYMICRO_LISTN": ":1", "EASYMICRO_LOGLEVEL": "debug", "EASYMICRO_SOMETHING_ELSE": "x", "EASYMICRO_NAM": "",
		"EASYMICRO_REGION": "eu", "EASYMICRO_BUDGET": "1s", "EASYMICRO_LISTEN": ":2", "EASYMICRO_SCREEN": "off",
		"EASYMICRO_LOG": "debug", "EASYMICRO_TOKEN": "x", "EASYMICRO_TENANT": "x", "EASYMICRO_VERSION": "1", "EASYMICRO_POD_NAME": "x", "EASYMICRO_ENV": "x",
		"EASYMICRO_SERVICE_HOST": "10.0.0.1", "EASYMICRO_SERVICE_PORT_HTTP": "80", "EASYMICRO_GATEWAY_PORT_80_TCP_ADDR": "10.0.0.1",
		"EASYMICROSCOPE": "x", "OTHER_LISTN": "x",
	} {
		t.Setenv(name, value)
	}
	const means = "unknown variable: neither easymicro nor a file of the host uses it"
	want := []string{
		"EASYMICRO_ENV: " + means,
		"EASYMICRO_LISTN: " + means + " (did you mean EASYMICRO_LISTEN?)",
		"EASYMICRO_LOG: " + means + " (did you mean EASYMICRO_LOG_LEVEL?)",
		"EASYMICRO_LOGLEVEL: " + means + " (did you mean EASYMICRO_LOG_LEVEL?)",
		"EASYMICRO_POD_NAME: " + means,
		"EASYMICRO_SOMETHING_ELSE: " + means,
		"EASYMICRO_TENANT: " + means,
		"EASYMICRO_TOKEN: " + means,
		"EASYMICRO_VERSION: " + means,
	}
	for range 2 { // as a reload does
		var got []string
		for _, w := range mustLoad(t, path, load.Options{}).Warnings {
			got = append(got, w.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestVariablesAreNotUnknownIfAFileIsUnreadable(t *testing.T) {
	t.Setenv("EASYMICRO_BUDGET", "1s")
	path := files(t, map[string]string{
		"easymicro.yaml": smallest + "policies: {files: [p.yaml], fallback: [baked.yaml]}\n", "p.yaml": rule("a"),
		"baked.yaml": strings.Replace(rule("baked"), "1s", "\"${EASYMICRO_BUDGET}\"", 1),
	})
	for _, reload := range []bool{false, true} {
		if got := mustLoad(t, path, load.Options{Reload: reload}).Warnings; len(got) > 0 {
			t.Errorf("only the fallback uses it, reload %v: %v", reload, got)
		}
	}
	for _, broken := range [][2]string{
		{"p.yaml", "rules: [\n" + rule("${EASYMICRO_BUDGET}")},
		{"easymicro.yaml", "services: [\nhost: {name: \"${EASYMICRO_BUDGET}\"}\n"},
	} {
		write(t, filepath.Join(filepath.Dir(path), broken[0]), broken[1])
		if got := strings.Join(problems(t, path, load.Options{Reload: true}), "\n"); strings.Contains(got, "unknown variable") {
			t.Errorf("%s is broken: %s", broken[0], got)
		}
	}
}

func TestVariablesAreExpandedFromTheGivenEnvironment(t *testing.T) {
	path := files(t, map[string]string{
		"easymicro.yaml": smallest + "policies: {files: [\"${DIR}/*.yaml\"]}\n",
		"p/a.yaml":       strings.Replace(rule("a"), "1s", "${TIMEOUT}", 1),
	})
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"DIR": "p", "TIMEOUT": "250ms"}[name]
		return value, ok
	}
	set := mustLoad(t, path, load.Options{Env: env})
	if got := set.Rules[0].Timeout.String(); got != "250ms" {
		t.Errorf("timeout %s", got)
	}
	if dir, _ := set.Env("DIR"); dir != "p" {
		t.Errorf("files that are read later are expanded with another environment: %q", dir)
	}
}

func TestASetWithErrorsIsReadAgain(t *testing.T) {
	path := files(t, map[string]string{"easymicro.yaml": smallest + "policies: {files: [p.yaml]}\n", "p.yaml": "rules:\n  - name: half"})
	policies := filepath.Join(filepath.Dir(path), "p.yaml")
	synctest.Test(t, func(t *testing.T) {
		go func() {
			time.Sleep(499 * time.Millisecond)
			write(t, policies, rule("whole"))
		}()
		set := mustLoad(t, path, load.Options{RetryAfter: 500 * time.Millisecond})
		if diff := cmp.Diff([]string{"whole"}, ruleNames(set)); diff != "" {
			t.Error(diff)
		}
	})
}

// configMap lays files out as the kubelet does: x.yaml → ..data/x.yaml, ..data → ..version.
func configMap(t *testing.T, dir, version string, content map[string]string) {
	t.Helper()
	for name, text := range content {
		write(t, filepath.Join(dir, version, name), text)
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			if err := os.Symlink("..data/"+name, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Symlink(version, filepath.Join(dir, "..data_tmp")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
}

func TestASetIsNeverMixedAcrossAConfigMapSwap(t *testing.T) {
	dir := t.TempDir()
	version := func(v string) map[string]string {
		return map[string]string{"easymicro.yaml": smallest + "policies: {files: [p-*.yaml]}\n", "p-a.yaml": rule("a-" + v), "p-b.yaml": rule("b-" + v)}
	}
	configMap(t, dir, "..one", version("one"))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 100 {
			configMap(t, dir, []string{"..two", "..one"}[i%2], version([]string{"two", "one"}[i%2]))
		}
	}()
	for loading := true; loading; {
		select {
		case <-done:
			loading = false
		default:
		}
		set, err := load.Load(filepath.Join(dir, "easymicro.yaml"), load.Options{RetryAfter: time.Millisecond})
		if err != nil {
			continue // the writer truncates files that are in use, which no kubelet does
		}
		if a, b := set.Rules[0].Name, set.Rules[1].Name; strings.TrimPrefix(a, "a-") != strings.TrimPrefix(b, "b-") {
			t.Fatalf("mixed set: %s with %s", a, b)
		}
	}
}

func TestDirsIncludePatternsAndLinkTargets(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(parts ...string) string { return filepath.Join(append([]string{base}, parts...)...) }
	write(t, at("host/easymicro.yaml"), smallest+"policies: {files: [teams/*/p.yaml, later/*.yaml, linked.yaml], allowEmpty: true}\nauth: {identify: [token], tokens: {file: ../secrets/tokens.yaml}}\n")
	write(t, at("host/teams/a/p.yaml"), rule("a"))
	write(t, at("real/linked.yaml"), rule("linked"))
	if err := os.Symlink(at("real/linked.yaml"), at("host/linked.yaml")); err != nil {
		t.Fatal(err)
	}
	configMap(t, at("secrets"), "..v1", map[string]string{"tokens.yaml": "[]\n"})
	want := []string{at("host"), at("host/teams"), at("host/teams/a"), at("real"), at("secrets"), at("secrets/..data"), at("secrets/..v1")}
	if diff := cmp.Diff(want, load.Dirs(mustLoad(t, at("host/easymicro.yaml"), load.Options{}))); diff != "" {
		t.Error(diff)
	}
}

// An edit that is rejected is mended where its links lead, and so is one at a start from the fallback.
func TestDirsIncludeLinksOfRejectedFiles(t *testing.T) {
	path := files(t, map[string]string{
		"easymicro.yaml": smallest + "policies: {files: [p/*.yaml], fallback: [baked.yaml]}\n",
		"p/a.yaml":       rule("a"), "baked.yaml": rule("baked"), "shared/b.yaml": "rules: [",
	})
	shared, err := filepath.EvalSymlinks(filepath.Join(filepath.Dir(path), "shared"))
	if err != nil {
		t.Fatal(err)
	}
	set := mustLoad(t, path, load.Options{})
	if err := os.Symlink("../shared/b.yaml", filepath.Join(filepath.Dir(path), "p/b.yaml")); err != nil {
		t.Fatal(err)
	}
	problems(t, path, load.Options{Reload: true})
	for name, running := range map[string]*config.Set{"edit": set, "start": mustLoad(t, path, load.Options{})} {
		if dirs := load.Dirs(running); !slices.Contains(dirs, shared) {
			t.Errorf("%s: watches %q, not %s", name, dirs, shared)
		}
	}
}

func TestAManifestNeedNotBeOnDisk(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "p.yaml"), rule("one"))
	path := filepath.Join(dir, "in-memory")
	o := load.Options{Manifest: []byte(smallest + "policies: {files: [p.yaml]}\n")}
	set := mustLoad(t, path, o)
	if len(set.Rules) != 1 || set.Rules[0].Name != "one" || set.Dir != dir {
		t.Errorf("rules %v in %s", set.Rules, set.Dir)
	}
	if !slices.Contains(load.Dirs(set), dir) {
		t.Errorf("watches %v", load.Dirs(set))
	}
	if hash, err := hashOf(path, o); err != nil || hash != set.Hash {
		t.Errorf("hash %s %v, want %s", hash, err, set.Hash)
	}
	write(t, filepath.Join(dir, "p.yaml"), rule("two"))
	if hash, _ := hashOf(path, o); hash == set.Hash {
		t.Error("an edit of the rules does not change the hash")
	}
	o.Manifest = []byte("servces: []\n")
	if got := problems(t, path, o); !strings.HasPrefix(got[0], "in-memory:1:1: servces: unknown key") {
		t.Errorf("%q", got)
	}
}

func TestFilesNamedInTheManifestBelongToTheSet(t *testing.T) {
	path := files(t, map[string]string{
		"easymicro.yaml": "services: [{name: A, handler: x}]\ndiscovery:\n  etcd:\n    - name: main\n      endpoints: [\"https://a:2379\"]\n      tls: {caFile: pki/ca.pem}\n      usernameFile: user\n      passwordFile: missing\n",
		"pki/ca.pem":     "ca", "user": "root\n",
	})
	dir := filepath.Dir(path)
	want := []string{"easymicro.yaml:8:21: discovery.etcd[0].passwordFile: missing cannot be read: no such file or directory"}
	if diff := cmp.Diff(want, problems(t, path, load.Options{})); diff != "" {
		t.Error(diff)
	}
	write(t, filepath.Join(dir, "missing"), "canary")
	set := mustLoad(t, path, load.Options{})
	if string(set.Contents["user"]) != "root\n" || string(set.Contents["pki/ca.pem"]) != "ca" {
		t.Errorf("%q", map[string][]byte(set.Contents))
	}
	if len(set.Files) != 1 {
		t.Errorf("%v: the hash of a password is shown", set.Files)
	}
	if !slices.Contains(load.Dirs(set), filepath.Join(dir, "pki")) {
		t.Errorf("%v: the folder of the certificates is not watched", load.Dirs(set))
	}
	write(t, filepath.Join(dir, "missing"), "canary2")
	if hash, err := hashOf(path, load.Options{}); err != nil || hash == set.Hash {
		t.Errorf("another password is no change (%v)", err)
	}
}

func TestAFileWithTheOtherSuffixIsAWarning(t *testing.T) {
	content := map[string]string{
		"easymicro.yaml": smallest + "policies: {files: [p/*.yaml]}\n", "p/10-a.yaml": rule("a"),
		"p/20-lock.yml": rule("lock"), "p/30.YAML": rule("loud"), "p/README.md": "none", "p/.40.yml": rule("hidden"), "p/50.yml~": rule("old"),
		"p/10-a.yml": rule("left-over"),
	}
	path := files(t, content)
	want := "easymicro.yaml:2:20: policies.files[0]: p/10-a.yml is not read, p/10-a.yaml beside it is: remove p/10-a.yml, or add a pattern for *.yml\n" +
		"easymicro.yaml:2:20: policies.files[0]: p/20-lock.yml is not read: p/*.yaml does not match it; name it 20-lock.yaml, or add a pattern for *.yml\n" +
		"easymicro.yaml:2:20: policies.files[0]: p/30.YAML is not read: p/*.yaml does not match it; name it 30.yaml, or add a pattern for *.YAML"
	set := mustLoad(t, path, load.Options{})
	if diff := cmp.Diff(want, set.Warnings.Error()); diff != "" {
		t.Error(diff)
	}
	write(t, filepath.Join(filepath.Dir(path), "p/60.yml"), rule("later"))
	if hash, err := hashOf(path, load.Options{}); err != nil || hash == set.Hash {
		t.Errorf("one that is created later is not noticed (%v)", err)
	}
	write(t, path, smallest+"policies: {files: [p/*.yaml, p/*.yml, p/*.YAML]}\n")
	if got := mustLoad(t, path, load.Options{}).Warnings; len(got) > 0 {
		t.Errorf("they are read now: %v", got)
	}
}

func TestAnUnusableFallbackIsReportedBeforeItIsNeeded(t *testing.T) {
	for name, c := range map[string]struct{ baked, want string }{
		"it is wrong":       {"rules:\n  - nam: a\n", "could not be used: baked/a.yaml:2:5: rules[0].match: is required (and 1 more)"},
		"it is not there":   {"", "could not be used: easymicro.yaml:2:42: policies.fallback[0]: matches no file"},
		"it is good enough": {rule("baked"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			content := map[string]string{"easymicro.yaml": smallest + "policies: {files: [p/*.yaml], fallback: [baked/*.yaml]}\n", "p/a.yaml": rule("a")}
			if c.baked != "" {
				content["baked/a.yaml"] = c.baked
			}
			path := files(t, content)
			if got := mustLoad(t, path, load.Options{}).Warnings.Error(); !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("got %q, want %q", got, c.want)
			}
			write(t, filepath.Join(filepath.Dir(path), "p/a.yaml"), "")
			if _, err := load.Load(path, load.Options{}); (err == nil) != (c.want == "") {
				t.Error(err)
			} else if err != nil && c.baked != "" && !strings.Contains(err.Error(), "baked/a.yaml:2:5") {
				t.Errorf("%v\nnames not what is wrong with the fallback", err)
			}
		})
	}
}

func TestAnUnreadFileOfTheFallbackIsAWarning(t *testing.T) {
	path := files(t, map[string]string{
		"easymicro.yaml": smallest + "policies: {files: [p.yaml], fallback: [baked/*.yaml]}\n", "p.yaml": rule("a"),
		"baked/10.yaml": rule("baked"), "baked/20-lock.yml": rule("lock"),
	})
	const want = "policies.fallback[0]: baked/20-lock.yml is not read: baked/*.yaml does not match it; name it 20-lock.yaml, or add a pattern for *.yml"
	for _, inUse := range []string{"", "fallback"} {
		set := mustLoad(t, path, load.Options{})
		if got := set.Warnings.Error(); set.Fallback != inUse || strings.Count(got, want) != 1 {
			t.Errorf("fallback %q: %s", set.Fallback, got)
		}
		write(t, filepath.Join(filepath.Dir(path), "p.yaml"), "")
	}
}
