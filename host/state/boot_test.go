package state_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/state"
)

// process opens a directory as a new process does, and returns the death of the one before.
func process(t *testing.T, dir string, now time.Time) (*state.Store, *state.Death) {
	t.Helper()
	s := open(t, dir)
	d, err := s.Boot.Settle(now)
	if err != nil {
		t.Fatal(err)
	}
	return s, d
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhichEndsOfAProcessCount(t *testing.T) {
	crash := func(text string) func(*state.Boot) error {
		return func(b *state.Boot) error {
			return errors.Join(b.Ready("h", start), os.WriteFile(b.CrashFile(), []byte(text), 0o600))
		}
	}
	for _, c := range []struct {
		name string
		run  func(b *state.Boot) error
		why  string
	}{
		{"killed before it is ready", func(*state.Boot) error { return nil }, "the process ended before it was ready"},
		{"killed when it is ready", func(b *state.Boot) error { return b.Ready("h", start) }, ""},
		{"ended in order before it is ready", func(b *state.Boot) error { return b.End() }, ""},
		{"crashed", crash("panic: no such key\n\ngoroutine 1 [running]:\n"), "the process crashed: panic: no such key ("},
		{"told to dump its goroutines", crash("SIGQUIT: quit\nPC=0x47\n"), ""},
		{"no crash report was written", crash(""), ""},
	} {
		dir := t.TempDir()
		s, _ := process(t, dir, start)
		try, err := s.Boot.Try("h", start)
		must(t, err)
		must(t, c.run(s.Boot))
		must(t, s.Close())
		next, d := process(t, dir, start)
		if (d == nil) != (c.why == "") || d != nil && (!strings.HasPrefix(d.Why, c.why) || d.Hash != "h") || try != 1 {
			t.Errorf("%s: %+v", c.name, d)
		}
		must(t, next.Close())
		if _, d := process(t, dir, start); d != nil {
			t.Errorf("%s: counted twice: %+v", c.name, d)
		}
	}
}

func TestASetIsCondemnedByTwoDeathsWithinAnHour(t *testing.T) {
	die := func(dir, hash string, at time.Time) {
		s, _ := process(t, dir, at)
		_, err := s.Boot.Try(hash, at)
		must(t, err)
		must(t, s.Close())
	}
	for _, c := range []struct {
		name      string
		apart     time.Duration
		between   func(b *state.Boot) error
		condemned bool
	}{
		{"soon", time.Minute, nil, true},
		{"hours apart", 2 * time.Hour, nil, false},
		{"it was ready for a window", time.Minute, func(b *state.Boot) error { return b.Survived("h") }, false},
		{"someone wants it", time.Minute, func(b *state.Boot) error { return b.Forget("h") }, false},
		{"another survived", time.Minute, func(b *state.Boot) error { return b.Survived("other") }, true},
	} {
		dir := t.TempDir()
		die(dir, "h", start)
		s, d := process(t, dir, start)
		if d == nil || s.Boot.Condemned("h") != nil {
			t.Errorf("%s: %+v after one", c.name, d)
		}
		if c.between != nil {
			must(t, c.between(s.Boot))
		}
		must(t, s.Close())
		die(dir, "h", start.Add(c.apart))
		s, _ = process(t, dir, start.Add(c.apart))
		if got := s.Boot.Condemned("h") != nil; got != c.condemned || s.Boot.Condemned("other") != nil {
			t.Errorf("%s: condemned %t", c.name, got)
		}
	}
}
