package cli_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	"github.com/easymicro/easymicro/host/hosttest"
)

// everyCommand lists arguments for each command, in the order of their calls; {address} stands for the address of the listener.
var everyCommand = []struct {
	args string
	exit int
	ends bool // without a host
	text bool // prints no JSON
}{
	{args: "validate", ends: true},
	{args: "test tests.yaml", ends: true},
	{args: "schema", ends: true},
	{args: "handlers", ends: true},
	{args: "version", ends: true},
	{args: "completion bash", ends: true, text: true},
	// The address is in use.
	{args: "serve --listen {address}", exit: cli.ExitFailed, ends: true, text: true},
	{args: "gateway --etcd http://127.0.0.1:1 --listen {address} --screen off", exit: cli.ExitFailed, ends: true, text: true},
	{args: "status"},
	{args: "list"},
	{args: "describe Desk.Mul"},
	{args: "call Desk.Mul {\"a\":6,\"b\":7} --address {address}"},
	{args: "explain Desk.Mul"},
	{args: "refusals"},
	{args: "shadow"},
	{args: "top"},
	{args: "config"},
	{args: "diff"},
	{args: "promote desk-quota --yes"},
	{args: "apply p.yaml --yes --revert-after 10m"},
	{args: "confirm"},
	{args: "history"},
	{args: "history show 1"},
	{args: "rollback 1"},
	{args: "reload --force"},
	{args: "limit Desk.Mul --caller x --rate 5/s --for 10m"},
	{args: "block Desk.Div --caller x --for 10m"},
	{args: "bypass circuitBreaker --for 10m"},
	{args: "override desk-mul timeout=2s --for 10m"},
	{args: "override list"},
	{args: "override drop bypass.circuitBreaker"},
	{args: "breaker", ends: true, text: true}, // shows its help
	{args: "breaker list"},
	{args: "breaker show desk-mul"},
	{args: "breaker reset desk-mul"},
	{args: "breaker open desk-mul --for 10m"},
	{args: "breaker close desk-mul --for 10m"},
	{args: "drain"},
	{args: "undrain"},
}

const everyRule = `rules:
  - {name: desk-mul, match: {service: Desk, method: Mul}, timeout: 1s, circuitBreaker: {failureRate: 50%}}
  - {name: desk-quota, match: {service: Desk}, mode: shadow, rateLimit: {rate: 1000}}
`

// Each command answers with JSON if asked to, completes without an error, and exits with 2 for a flag that it does not
// have, and with 4 where its host cannot be reached.
func TestEveryCommand(t *testing.T) {
	h := hosttest.Start(t, hosted+"auth: {identify: [token], tokens: {file: tokens.yaml}}\n", hosttest.Options{Files: map[string]string{
		"p.yaml":      everyRule,
		"tokens.yaml": "- {caller: x, sha256: " + strings.Repeat("ab", 32) + "}\n",
		"tests.yaml":  "cases: [{name: all pass, calls: {to: Desk.Mul, count: 3}, expect: {OK: 3}}]\n",
	}})
	binary, err := exec.LookPath("easymicro")
	if err != nil {
		t.Fatal(err)
	}
	run := func(admin string, args ...string) (exit int, out, errs string) {
		var stdout, stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = h.Dir, &stdout, &stderr
		cmd.Env = append(cmd.Environ(), "EASYMICRO_ADMIN="+admin, "HOME="+h.Dir)
		var ended *exec.ExitError
		if err := cmd.Run(); err != nil && !errors.As(err, &ended) {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
	}
	missing := pathsOf(t, run)
	for _, tc := range everyCommand {
		args := strings.Fields(strings.ReplaceAll(tc.args, "{address}", h.Address))
		path := args[:1]
		if len(args) > 1 && missing[args[0]+" "+args[1]] {
			path = args[:2]
		}
		delete(missing, strings.Join(path, " "))
		exit, out, errs := run(h.AdminAddr().String(), append(slices.Clone(args), "-o", "json")...)
		if exit != tc.exit {
			t.Errorf("%s exits with %d, want %d: %s%s", tc.args, exit, tc.exit, out, errs)
		}
		if !tc.text && !isJSON(out) {
			t.Errorf("%s prints\n%s", tc.args, out)
		}
		if exit, _, errs := run(h.AdminAddr().String(), append(slices.Clone(args), "--flog")...); exit != cli.ExitUsage || !strings.Contains(errs, "--flog") {
			t.Errorf("%s --flog exits with %d: %s", tc.args, exit, errs)
		}
		if exit, out, errs := run(h.AdminAddr().String(), slices.Concat([]string{"__complete"}, path, []string{"--"})...); exit != 0 || !strings.Contains(out, "--help") {
			t.Errorf("%s: completion exits with %d: %s%s", tc.args, exit, out, errs)
		}
		if tc.ends || strings.HasPrefix(tc.args, "call ") {
			continue
		}
		if exit, _, errs := run("127.0.0.1:1", args...); exit != cli.ExitUnreachable || !strings.Contains(errs, "127.0.0.1:1") {
			t.Errorf("%s without a host exits with %d: %s", tc.args, exit, errs)
		}
	}
	for path := range missing {
		t.Errorf("%s is not tried", path)
	}
}

// pathsOf returns the commands that the binary lists in its help, with their subcommands.
func pathsOf(t *testing.T, run func(admin string, args ...string) (int, string, string)) map[string]bool {
	t.Helper()
	line := regexp.MustCompile(`(?m)^  ([a-z]+) +[A-Z][a-z]`)
	paths := make(map[string]bool)
	var add func(path ...string)
	add = func(path ...string) {
		_, help, _ := run("", append(slices.Clone(path), "--help")...)
		for _, m := range line.FindAllStringSubmatch(help, -1) {
			if m[1] != "help" {
				paths[strings.Join(append(slices.Clone(path), m[1]), " ")] = true
				add(append(slices.Clone(path), m[1])...)
			}
		}
	}
	add()
	const least = 34
	if len(paths) < least {
		t.Fatalf("%d commands: %v", len(paths), slices.Sorted(maps.Keys(paths)))
	}
	return paths
}

// isJSON reports whether text is JSON values and nothing else.
func isJSON(text string) bool {
	d := json.NewDecoder(strings.NewReader(text))
	for n := 0; ; n++ {
		var v any
		if err := d.Decode(&v); err != nil {
			return errors.Is(err, io.EOF) && n > 0
		}
	}
}
