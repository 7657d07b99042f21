//go:build unix

package host_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/admin"
)

// pair returns two policy files, to be applied together.
func pair(n int) []admin.ApplyFile {
	return []admin.ApplyFile{
		{Path: "p.yaml", Text: mortalRule(fmt.Sprint("p-", n))},
		{Path: "q.yaml", Text: strings.Replace(mortalRule(fmt.Sprint("q-", n)), "timeout: 1s", "concurrency: {max: 9}", 1)},
	}
}

// pairThatRuns returns the number of the files that run, which must be those of one apply.
func pairThatRuns(t *testing.T, h *mortalHost) (n int) {
	t.Helper()
	rules, err := h.Rules(t.Context())
	must(t, err)
	var names []string
	for i := range rules {
		names = append(names, rules[i].Name)
	}
	text := strings.Join(names, " ")
	if _, err := fmt.Sscanf(text, "p-%d", &n); err != nil || text != fmt.Sprintf("p-%d q-%d", n, n) {
		t.Fatalf("rules %q run", text)
	}
	return n
}

// After kill -9 at any moment of an apply, the next start runs what ran before or what was applied, and what was confirmed in any case.
// With TEST_EASYMICRO_LONG there are 200 kills.
func TestAnApplyDuringWhichTheProcessIsKilledIsMadeOrNot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	save(t, dir, "easymicro.yaml", strings.Replace(mortals, "[p.yaml]", "[p.yaml, q.yaml]", 1))
	for _, f := range pair(0) {
		save(t, dir, f.Path, f.Text)
	}
	kills := 10 * rounds(20)
	if testing.Short() {
		kills = 4
	}
	ran, last, made := 0, 0, 0
	for kill := range kills + 1 {
		h := startMortal(t, dir)
		n := pairThatRuns(t, h)
		if n != ran && n != last {
			t.Fatalf("after kill %d, files %d run, want %d or %d", kill, n, ran, last)
		}
		if n == last && last > ran {
			made++
		}
		ran = n
		if kill == kills {
			break
		}
		killed := time.AfterFunc(rand.N(30*time.Millisecond), func() { _ = h.cmd.Process.Kill() })
		for {
			last++
			if _, err := h.Apply(t.Context(), admin.ApplyRequest{Files: pair(last)}); err != nil {
				break
			}
			ran = last
		}
		killed.Stop()
		_ = h.cmd.Wait()
	}
	t.Logf("%d applies, %d kills: %d of the applies that were not confirmed had been made", last, kills, made)
}
