package rig

import (
	"math"
	"testing"
	"time"
)

func TestIdleTimeIsNotBusy(t *testing.T) {
	got, err := busy("cpu  10 20 30 4000 500 6 7 8 9 10\n") // user nice system idle iowait irq softirq steal guest guest_nice
	if want := (10 + 20 + 30 + 6 + 7 + 8) * tick; err != nil || got != want {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, line := range []string{"", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 x 4 5 6 7 8"} {
		if _, err := busy(line); err == nil {
			t.Errorf("%q is accepted", line)
		}
	}
}

func TestOthersAreWhatIsNotOurs(t *testing.T) {
	begin := time.Now()
	before := usage{at: begin, all: 10 * time.Second, self: time.Second}
	after := usage{at: begin.Add(time.Second), all: 11500 * time.Millisecond, self: 1100 * time.Millisecond}
	for _, tt := range []struct {
		ours time.Duration
		want float64
	}{
		{1200 * time.Millisecond, 0.1}, // of two seconds on two cores, 1.5 were used, 0.1 by the rig
		{1400 * time.Millisecond, 0},
		{1600 * time.Millisecond, 0}, // the clocks of the kernel are not exact
	} {
		if got := others(before, after, tt.ours, 2); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%v ours: %v, want %v", tt.ours, got, tt.want)
		}
	}
}

func TestTheMachineIsNamed(t *testing.T) {
	if m := thisMachine(t.Context()); m.Cores < 1 || m.Kernel == "" || m.Go == "" {
		t.Errorf("%+v", m)
	}
	if got := fieldOf("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: other\n", "model name"); got != "Some CPU @ 2 GHz" {
		t.Errorf("%q", got)
	}
}
