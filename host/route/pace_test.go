package route

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestLongCallsGiveWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var p pace
		calls := func(n int, took time.Duration) {
			for range n {
				begin := p.begin()
				time.Sleep(took)
				p.end(begin)
			}
		}
		if p.long() {
			t.Error("nothing is known, but calls give way")
		}
		calls(1, time.Millisecond)
		if !p.long() {
			t.Error("the first call was long, but the next does not give way")
		}
		calls(2000, 10*time.Microsecond)
		if p.long() {
			t.Error("calls have become short, but give way")
		}
		calls(2000, 300*time.Microsecond)
		if !p.long() {
			t.Error("calls have become long, but do not give way")
		}
	})
}
