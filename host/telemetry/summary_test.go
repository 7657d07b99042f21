package telemetry

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// said is each line of a text log without its time.
func said(b *buffer) []string {
	var lines []string
	for line := range strings.Lines(drain(b)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		lines = append(lines, rest)
	}
	return lines
}

func wantLines(t *testing.T, b *buffer, want ...string) {
	t.Helper()
	if got := said(b); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("said %q, want %q", got, want)
	}
}

func newSummary(t *testing.T, o LogOptions) (*Summary, *buffer) {
	t.Helper()
	o.Format = "text"
	log, _, b := newLog(t, o)
	return NewSummary(log, 0), b
}

var refused = Kind{"refused", "arith-mul@r4"}

func TestAFloodIsOneLineAtOnceAndOnePerInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newSummary(t, LogOptions{})
		defer s.Close()
		flood := func(n int) {
			for range n {
				s.Log(slog.LevelWarn, refused, "call refused", func() []slog.Attr { return []slog.Attr{slog.String("caller", "web-1")} })
			}
		}
		flood(4813)
		wantLines(t, b, "WRN call refused caller=web-1")
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		wantLines(t, b, "WRN refused: and 4,812 more like it in 10s subject=arith-mul@r4")
		flood(7)
		wantLines(t, b)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		wantLines(t, b, "WRN refused: and 7 more like it in 10s subject=arith-mul@r4")

		time.Sleep(10 * time.Second)
		synctest.Wait()
		wantLines(t, b)
		flood(1) // after a quiet interval the next one is the first again
		wantLines(t, b, "WRN call refused caller=web-1")
	})
}

func TestKindsOfLinesDoNotHideOneAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newSummary(t, LogOptions{})
		s.Log(slog.LevelWarn, refused, "one", nil)
		s.Log(slog.LevelError, Kind{"panic", "Arith/Mul"}, "two", nil)
		s.Log(slog.LevelError, Kind{"panic", "Arith/Mul"}, "two", nil)
		wantLines(t, b, "WRN one", "ERR two")
		s.Close()
		wantLines(t, b, "ERR panic: and 1 more like it in 10s subject=Arith/Mul")
		s.Close()
		s.Log(slog.LevelInfo, refused, "after the end", nil)
		s.Log(slog.LevelInfo, refused, "after the end", nil)
		wantLines(t, b, "INF after the end", "INF after the end")
		time.Sleep(time.Minute)
		wantLines(t, b)
	})
}

func TestManyKindsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newSummary(t, LogOptions{})
		for i := range 10 * summaryKinds {
			s.Log(slog.LevelWarn, Kind{"refused", fmt.Sprint(i)}, "m", nil)
		}
		if n := len(said(b)); n > summaryKinds+1 {
			t.Errorf("%d lines", n)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got := drain(b); !strings.Contains(got, "other: and 2,303 more like it in 10s") {
			t.Errorf("%q", got)
		}
		s.Close()
	})
}

func TestALineBelowTheLevelCostsNothing(t *testing.T) {
	s, b := newSummary(t, LogOptions{Level: "error"})
	s.Log(slog.LevelWarn, refused, "m", func() []slog.Attr { panic("asked for attributes") })
	wantLines(t, b)
	s.Close()
}

func TestAFloodAllocatesNothing(t *testing.T) {
	s, _ := newSummary(t, LogOptions{})
	defer s.Close()
	caller := "web-1"
	if n := testing.AllocsPerRun(1000, func() {
		s.Log(slog.LevelWarn, refused, "call refused", func() []slog.Attr { return []slog.Attr{slog.String("caller", caller)} })
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestIntervalsAreWrittenShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		10 * time.Second: "10s", time.Minute: "1m", 90 * time.Second: "1m30s", 500 * time.Millisecond: "500ms", time.Hour: "60m",
	} {
		if got := short(d); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
}
