package wiretest

import (
	"testing"
	"time"
)

// Within waits for something that an event outside of the test brings about. It ends a test that has waited for the limit.
func Within(t testing.TB, limit time.Duration, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(limit)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
