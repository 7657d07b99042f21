package telemetry

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func TestFloodsOfThePartsOfAHostAreSummarised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newSummary(t, LogOptions{})
		defer s.Close()
		log := s.Logger().With("upstream", "till")
		for i := range 1000 {
			log.Error("handler crashed", "service", "Arith", "method", "Mul", "stack", i)
			log.Error("handler crashed", "service", "Arith", "method", "Div", "stack", i)
			log.Info("hello", "n", i/999)
		}
		log.Warn("connection cut", "reason", "bad_magic", "peer", "a")
		log.Warn("connection cut", "reason", "bad_magic", "suppressed", 99)
		lines := said(b)
		if len(lines) != 2+1000+1 || lines[0] != "ERR handler crashed upstream=till service=Arith method=Mul stack=0" {
			t.Errorf("%d lines, the first: %s", len(lines), lines[0])
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		want := map[string]bool{
			"ERR handler crashed upstream=till service=Arith method=Mul suppressed=999 within=10s": true,
			"ERR handler crashed upstream=till service=Arith method=Div suppressed=999 within=10s": true,
			"WRN connection cut upstream=till reason=bad_magic suppressed=99 within=10s":           true,
		}
		lines = said(b)
		for _, line := range lines {
			if !want[line] {
				t.Errorf("said %s", line)
			}
		}
		if len(lines) != len(want) {
			t.Errorf("%d lines", len(lines))
		}
	})
}

func TestAttributesInAGroupMakeNoKind(t *testing.T) {
	s, b := newSummary(t, LogOptions{})
	log := s.Logger().WithGroup("call")
	log.Warn("m", "method", "A")
	log.With("method", "B").Warn("m", slog.Int("suppressed", 5))
	wantLines(t, b, "WRN m call.method=A")
	s.Close()
	wantLines(t, b, "WRN m suppressed=1 within=10s")
}
