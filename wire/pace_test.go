package wire

import (
	"testing"
	"time"
)

func TestWhoRunsACall(t *testing.T) {
	const short, long, longer = shareAbove / 2, shareAbove + 1, shareBusy + 1
	for _, tt := range []struct {
		name            string
		took            time.Duration
		others, crowded bool
		avoid           uint32
		inline          bool
	}{
		{"a short one, with others waiting", short, true, false, 0, true},
		{"a long one that is alone", long, false, false, 0, true},
		{"a long one, and a processor may be free", long, true, false, 0, false},
		{"a long one, and none is", long, true, true, 0, true},
		{"a longer one, and none is", longer, true, true, 0, false},
		{"of a method that blocks", short, false, false, 1, false},
		{"of a method that blocks, and no processor is free", short, true, true, 1, false},
	} {
		var s paces
		req := &Frame{Service: "Arith", Method: "Mul"}
		*s.of(req.Service, req.Method) = pace{service: req.Service, method: req.Method, took: tt.took, avoid: tt.avoid}
		if got := s.inline(req, tt.others, tt.crowded); got != tt.inline {
			t.Errorf("%s: the reader runs it: %v", tt.name, got)
		}
	}
}
