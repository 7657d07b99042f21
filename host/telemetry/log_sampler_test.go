package telemetry

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// loggedLines returns the lines of a text log without their times.
func loggedLines(b *buffer) []string {
	var lines []string
	for line := range strings.Lines(drain(b)) {
		_, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		lines = append(lines, rest)
	}
	return lines
}

func wantLines(t *testing.T, b *buffer, want ...string) {
	t.Helper()
	if got := loggedLines(b); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("logged %q, want %q", got, want)
	}
}

func newSampler(t *testing.T, o LogOptions) (*LogSampler, *buffer) {
	t.Helper()
	o.Format = "text"
	log, _, b := newLog(t, o)
	return NewLogSampler(log), b
}

// refusedBy returns the log key for refusals by a rule, of a caller or of any.
func refusedBy(caller string) LogKey {
	return LogKey{Subject: LogAttrs{{"method", "Arith/Mul"}, {"rule", "arith-mul@r4"}}, Source: LogAttrs{{"caller", caller}}}
}

var refused = refusedBy("web-1")

func fromPeer(n int) func() []slog.Attr {
	return func() []slog.Attr { return []slog.Attr{slog.Int("peer", n)} }
}

func TestAFloodIsOneLineAtOnceAndOnePerInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newSampler(t, LogOptions{})
		defer s.Close()
		flood := func(n int) {
			for i := range n {
				s.Log(slog.LevelWarn, "call refused", refused, fromPeer(i))
			}
		}
		flood(4813)
		wantLines(t, b, "WRN call refused method=Arith/Mul rule=arith-mul@r4 caller=web-1 peer=0")
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		wantLines(t, b, "WRN call refused method=Arith/Mul rule=arith-mul@r4 caller=web-1 suppressed=4812 within=10s")
		flood(7)
		wantLines(t, b)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		wantLines(t, b, "WRN call refused method=Arith/Mul rule=arith-mul@r4 caller=web-1 suppressed=7 within=10s")

		time.Sleep(10 * time.Second)
		synctest.Wait()
		wantLines(t, b)
		flood(1) // after a quiet interval the next line is a first one again
		wantLines(t, b, "WRN call refused method=Arith/Mul rule=arith-mul@r4 caller=web-1 peer=0")
	})
}

func TestKeysDoNotHideOneAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newSampler(t, LogOptions{})
		panics := LogKey{Subject: LogAttrs{{"method", "Arith/Mul"}}}
		s.Log(slog.LevelWarn, "call refused", refused, nil)
		s.Log(slog.LevelWarn, "call refused", refusedBy("web-2"), nil)
		s.Log(slog.LevelError, "a handler panicked", panics, nil)
		s.Log(slog.LevelError, "a handler panicked", panics, nil)
		wantLines(t, b, "WRN call refused method=Arith/Mul rule=arith-mul@r4 caller=web-1",
			"WRN call refused method=Arith/Mul rule=arith-mul@r4 caller=web-2", "ERR a handler panicked method=Arith/Mul")
		s.Close()
		wantLines(t, b, "ERR a handler panicked method=Arith/Mul suppressed=1 within=10s")
		s.Close()
		s.Log(slog.LevelInfo, "after the end", LogKey{}, nil)
		s.Log(slog.LevelInfo, "after the end", LogKey{}, nil)
		wantLines(t, b, "INF after the end", "INF after the end")
		time.Sleep(time.Minute)
		wantLines(t, b)
	})
}

// A caller that makes up values gets a few lines; the others are counted without their values.
func TestSourcesBeyondTheLimitShareALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newSampler(t, LogOptions{})
		for i := range 1000 {
			s.Log(slog.LevelWarn, "call refused", refusedBy(fmt.Sprint("web-", i)), nil)
		}
		if n := len(loggedLines(b)); n != maxSources+1 {
			t.Errorf("%d lines at once", n)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		wantLines(t, b, "WRN call refused method=Arith/Mul rule=arith-mul@r4 suppressed=995 within=10s")
		s.Log(slog.LevelError, "a handler panicked", LogKey{}, nil) // others are not counted with them
		wantLines(t, b, "ERR a handler panicked")
		s.Close()
	})
}

func TestManyKeysAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newSampler(t, LogOptions{})
		for i := range 2560 {
			s.Log(slog.LevelWarn, "m", LogKey{Subject: LogAttrs{{"method", fmt.Sprint(i)}}}, nil)
		}
		if n := len(loggedLines(b)); n != maxSubjects+1 {
			t.Errorf("%d lines", n)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		wantLines(t, b, "WRN m suppressed=2495 within=10s")
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if n := len(s.samples) + len(s.sources) + len(s.subjects); n != 0 {
			t.Errorf("%d are kept for ever", n)
		}
		s.Close()
	})
}

func TestALineBelowTheLevelAllocatesNothing(t *testing.T) {
	s, b := newSampler(t, LogOptions{Level: "error"})
	s.Log(slog.LevelWarn, "m", refused, func() []slog.Attr { panic("asked for attributes") })
	wantLines(t, b)
	s.Close()
}

func TestAFloodAllocatesNothing(t *testing.T) {
	s, _ := newSampler(t, LogOptions{})
	defer s.Close()
	caller := "web-1"
	if n := testing.AllocsPerRun(1000, func() {
		s.Log(slog.LevelWarn, "call refused", refusedBy(caller), func() []slog.Attr { return []slog.Attr{slog.String("caller", caller)} })
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestWarningsOfComponentsAreSampled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, b := newSampler(t, LogOptions{})
		defer s.Close()
		log := s.Logger().With("upstream", "till")
		for i := range 1000 {
			log.Error("handler crashed", "service", "Arith", "method", "Mul", "stack", i)
			log.Error("handler crashed", "service", "Arith", "method", "Div", "stack", i)
			log.Info("hello", "n", i/999)
		}
		log.Warn("connection cut", "reason", "bad_magic", "peer", "a")
		log.Warn("connection cut", "reason", "bad_magic", "suppressed", 99)
		lines := loggedLines(b)
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
		lines = loggedLines(b)
		for _, line := range lines {
			if !want[line] {
				t.Errorf("logged %s", line)
			}
		}
		if len(lines) != len(want) {
			t.Errorf("%d lines", len(lines))
		}
	})
}

func TestAttributesInAGroupAreNotPartOfTheKey(t *testing.T) {
	s, b := newSampler(t, LogOptions{})
	log := s.Logger().WithGroup("call")
	log.Warn("m", "method", "A")
	log.With("method", "B").Warn("m", slog.Int("suppressed", 5))
	wantLines(t, b, "WRN m call.method=A")
	s.Close()
	wantLines(t, b, "WRN m suppressed=1 within=10s")
}
