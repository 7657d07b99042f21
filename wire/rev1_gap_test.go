package wire_test

import (
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// The peer closes the connection between two calls, 1 ms before the second.
func TestRevGapACallAfterTheEndIsNotSent(t *testing.T) {
	for range 20 {
		c, p := facing(t, wire.ConnOptions{})
		for range 2 {
			first := calling(t.Context(), c, "First", "")
			answer(p, p.Receive(), "for First")
			if err := <-first; err != nil && err.Error() != "First got " {
				t.Fatal(err)
			}
		}
		_ = p.Close()
		time.Sleep(time.Millisecond)
		err := <-calling(t.Context(), c, "Next", "")
		if e := code.From(err); e == nil || e.Reason != code.ReasonNoEndpoint {
			t.Errorf("%v, idle %v", err, c.EndedIdle())
		}
	}
}
