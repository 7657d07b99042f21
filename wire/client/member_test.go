package client

import (
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Failed calls count as slow for load balancing, but not in the latency that is shown.
func TestTheLatencyInStatusExcludesFailures(t *testing.T) {
	var l load
	now := int64(time.Hour)
	call := func(err error) {
		now += int64(10 * time.Millisecond)
		l.begin()
		l.end(now-int64(time.Millisecond), now, err, true)
	}
	call(nil)
	if got := l.shown(); got != time.Millisecond {
		t.Errorf("%v", got)
	}
	for range 10 {
		call(code.Errorf(code.Unavailable, "away"))
	}
	if got := l.shown(); got != 0 {
		t.Errorf("%v is what failures count as", got)
	}
	if l.cost(now) < int64(failureCosts)/2 {
		t.Error("failures do not count")
	}
	for range 100 {
		call(nil)
	}
	if got := l.shown(); got < time.Millisecond || got > 2*time.Millisecond {
		t.Errorf("%v after it has come back", got)
	}
}
