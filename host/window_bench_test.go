package host_test

import (
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
)

// BenchmarkWindow measures a call outside of the window of an edit, and inside the window of one that changes all four rules.
func BenchmarkWindow(b *testing.B) {
	manifest := strings.Replace(benchManifest, "admin: {address: \"\"}\n", "", 1) + strings.Replace(benchRules, "policies:\n", "policies:\n  autoRollback: {window: 1h}\n", 1)
	h := hosttest.Start(b, manifest, hosttest.Options{Registry: newPlant(b).reg})
	b.Run("outside", func(b *testing.B) { handleOnly(b, h.Host) })
	edited := strings.NewReplacer("burst: 1000000000", "burst: 900000000", "max: 10000", "max: 9000", "timeout: 5s", "timeout: 6s", "50%", "60%").Replace(manifest)
	h.Write("easymicro.yaml", edited)
	if r := h.Revision(); r.Number != 2 {
		b.Fatalf("r%d %s %v", r.Number, r.Result, r.Problems)
	}
	b.Run("inside", func(b *testing.B) { handleOnly(b, h.Host) })
}
