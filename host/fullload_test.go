package host_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
)

// dozing is a handler with a method that takes 30 ms.
type dozing struct{ moody }

func (dozing) Doze(ctx context.Context, _ *args, _ *reply) error {
	select {
	case <-time.After(30 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

const fullLoadManifest = `
host: {state: {dir: state}}
services:
  - {name: Arith, handler: test.dozing}
  - {name: Desk, handler: test.desk, uses: {till: till}}
upstreams: [{name: till, service: Till, connection: {connectTimeout: 20s}, resolve: {endpoints: [%q]}}]
auth: {identify: [token], tokens: {file: tokens.yaml}}
policies:
  files: [policies.d/*.yaml]
  watch: {debounce: 20ms, poll: 200ms}
  autoRollback: {window: 1s}
`

// fullLoad is how many calls arrive in 10 ms: 2,000 in a second, or 6,000 with TEST_EASYMICRO_LONG.
func fullLoad() int {
	if os.Getenv("TEST_EASYMICRO_LONG") != "" {
		return 60
	}
	return 20
}

// Of the edits that refuse or fail most calls, or those of a method that is 5 % of them, each is undone soon, says how to keep it, and
// does not come back with a restart. Those that are meant to refuse stay.
func TestWhichEditsAreUndoneUnderFullLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("it keeps the processors busy for many seconds")
	}
	const calm = "{name: calm, match: {service: Arith}, rateLimit: {rate: 10000}}"
	const slow = "{name: slow, match: {service: Arith, method: Doze}, timeout: %s}"
	n := fullLoad()
	till, _ := startTill(t, 1)
	for _, tt := range []struct {
		name          string
		before, after string // rules
		file          string // default: that of the rules
		streams       []stream
		want, way     string // empty: it is kept
	}{
		{
			name: "rate", before: calm, after: strings.Replace(calm, "10000", "1", 1), streams: []stream{{caller: "partner", method: "Mul", n: n}},
			want: "calm refused ", way: "autoRollback: off in calm (policies.d/10.yaml:2), or easymicro reload --force",
		},
		{
			name: "timeout", before: fmt.Sprintf(slow, "30s"), after: fmt.Sprintf(slow, "8ms"), streams: []stream{{caller: "partner", method: "Doze", n: n}},
			want: "slow timed out ", way: "autoRollback: off in slow (policies.d/10.yaml:2), or easymicro reload --force",
		},
		{
			name: "method with 5 % of the calls", before: calm, after: "{name: calm, match: {service: Arith, method: Div}, access: {allow: [{caller: batch}]}}",
			streams: []stream{{caller: "partner", method: "Mul", n: n - n/20}, {caller: "partner", method: "Div", n: n / 20}},
			want:    "calm refused 100 % of ", way: "autoRollback: off in calm (policies.d/10.yaml:2), or easymicro reload --force",
		},
		{name: "tokens", before: calm, file: "tokens.yaml", after: "[]\n", streams: []stream{{caller: "partner", method: "Mul", n: n}}, want: "auth turned away ", way: "easymicro reload --force"},
		{name: "address", before: calm, file: "easymicro.yaml", after: "127.0.0.1:1", streams: []stream{{service: "Desk", method: "Mul", n: n}}, want: " fail, 0 % did before r2", way: "easymicro reload --force"},
		{name: "rate, with autoRollback: off", before: calm, after: "{name: calm, match: {service: Arith}, autoRollback: off, rateLimit: {rate: 200}}", streams: []stream{{caller: "partner", method: "Mul", n: n}}},
		{name: "limit for a caller with 90 % of the calls", before: calm, after: "{name: calm, match: {service: Arith, caller: partner}, rateLimit: {rate: 1}}", streams: mostOf(n)},
		{name: "deny for a caller with 90 % of the calls", before: calm, after: "{name: calm, match: {service: Arith}, access: {deny: [{caller: partner}]}}", streams: mostOf(n)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if os.Getenv("TEST_EASYMICRO_LONG") == "" {
				t.Parallel()
			}
			p := deskPlant(t)
			registry.Plain(dozing{}, registry.In(p.reg), registry.As("test.dozing"))
			log := new(logBuffer)
			h := hosttest.Start(t, untilUndone(fmt.Sprintf(fullLoadManifest, till.Address), tt.want != ""), hosttest.Options{Registry: p.reg, Log: log, Files: map[string]string{
				policyFile: ruleFile(tt.before), "tokens.yaml": tokensFile("partner-token", "") + strings.Replace(tokensFile("batch-token", ""), "partner", "batch", 1),
			}})
			var s running
			end := s.run(t, h, tt.streams...)
			awaitThat(t, "traffic", func() bool { return s.ok.Load() > int64(50*n) })
			if failed := s.failed.Load(); failed > 0 {
				t.Fatalf("%d calls failed before the edit", failed)
			}
			switch tt.file {
			case "":
				h.Write(policyFile, ruleFile(tt.after))
			case "easymicro.yaml":
				h.Edit(tt.file, till.Address, tt.after)
			default:
				h.Write(tt.file, tt.after)
			}
			if r := h.Revision(); r.Result != host.ResultApplied || r.Number != 2 {
				t.Fatalf("r%d %s %v %s", r.Number, r.Result, r.Problems, r.Error)
			}
			r := settled(t, h, 2)
			failed := s.failed.Load()
			t.Logf("%d calls did not succeed; r2 %s: %s", failed, r.Result, r.Verdict)
			if tt.want == "" {
				if r.Result != host.ResultApplied || failed < 100 {
					t.Errorf("r2 %s, %q", r.Result, r.Verdict)
				}
				return
			}
			back := h.Revision()
			if back.Source != host.SourceAutoRollback || !strings.Contains(back.Why, tt.want) || !strings.HasSuffix(back.Why, " To keep it: "+tt.way) {
				t.Fatalf("r%d by %s: %s", back.Number, back.Source, back.Why)
			}
			if most := int64(1000 * n); failed > most { // of 6000 * n in the window
				t.Errorf("%d calls did not succeed, want at most %d", failed, most)
			}
			if !strings.Contains(log.String(), back.Why) {
				t.Error("the log does not say why")
			}
			served := s.ok.Load()
			awaitThat(t, "calls after the rollback", func() bool { return s.ok.Load() > served+int64(50*n) })
			end()
			h.Stop()
			h = hosttest.StartFile(t, filepath.Join(h.Dir, "easymicro.yaml"), hosttest.Options{Registry: p.reg, Log: log})
			if p := status(t, h).Policies; p.InSync || p.Held != back.Why || p.Running.Source != host.SourceStart {
				t.Errorf("after a restart: %+v", p)
			}
			var again running
			again.run(t, h, tt.streams...)
			awaitThat(t, "calls after a restart", func() bool { return again.ok.Load() > int64(50*n) })
		})
	}
}

// mostOf returns n calls in 10 ms, nine of ten by the same caller.
func mostOf(n int) []stream {
	return []stream{{caller: "partner", method: "Mul", n: n * 9 / 10}, {caller: "batch", method: "Mul", n: n / 10}}
}
