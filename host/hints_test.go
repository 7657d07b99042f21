package host

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSuggestionsHaveABucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h hints
		taken := func() (n int) {
			for h.take() {
				n++
			}
			return n
		}
		if n := taken(); n != hintBurst {
			t.Errorf("%d at once, want %d", n, hintBurst)
		}
		time.Sleep(hintEvery)
		if n := taken(); n != 1 {
			t.Errorf("%d after %v, want 1", n, hintEvery)
		}
		time.Sleep(time.Hour)
		if n := taken(); n != hintBurst {
			t.Errorf("%d after an hour, want %d", n, hintBurst)
		}
		if got := h.nearest("arit", []string{"arith"}); got != "" {
			t.Errorf("%q without a token", got)
		}
		time.Sleep(hintEvery)
		if got := h.nearest("arit", []string{"arith"}); got != "arith" {
			t.Errorf("got %q", got)
		}
	})
}
