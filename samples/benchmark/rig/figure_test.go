package rig

import (
	"testing"
)

func TestTheMedianIsTheMiddle(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{
		{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(tt.values); got != tt.want {
			t.Errorf("median of %v: %v, want %v", tt.values, got, tt.want)
		}
	}
	if got, want := spreadOf([]float64{9, 1, 5}), (Spread{5, 1, 9}); got != want {
		t.Errorf("spread %v, want %v", got, want)
	}
}

func repetition(round int, calls, others float64) Repetition {
	return Repetition{Round: round, CallsPerSecond: calls, Others: others}
}

func TestDisturbedRepetitionsAreDiscarded(t *testing.T) {
	failed := repetition(1, 0, 0)
	failed.Error = "no answer"
	f := figureOf("s1", "x", []Repetition{
		repetition(1, 10, 0.30), failed, repetition(1, 100, 0.01), // repeated because of others
		repetition(2, 200, 0.02),
		repetition(3, 30, 0.40), repetition(3, 300, 0.20), repetition(3, 20, 0.50), // never left alone: the best one counts
	}, 0.05)
	if want := (Spread{200, 100, 300}); f.CallsPerSecond != want {
		t.Errorf("%v, want %v", f.CallsPerSecond, want)
	}
	if f.Disturbed != 1 || f.Error != "no answer" {
		t.Errorf("%d disturbed, error %q", f.Disturbed, f.Error)
	}
	for i, want := range []bool{true, false, false, false, true, false, true} {
		if f.Repetitions[i].Discarded != want {
			t.Errorf("repetition %d is discarded: %v", i, !want)
		}
	}
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	f := figureOf("s1", "x", []Repetition{repetition(1, 100, 0), repetition(2, 200, 0), repetition(3, 900, 0)}, 0.05)
	to := figureOf("s1", "y", []Repetition{repetition(1, 50, 0), repetition(2, 50, 0), repetition(4, 1, 0)}, 0.05)
	if got, want := ratios(f, to, values["calls/s"]), (Spread{3, 2, 4}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestTargetsAreComparedWithRatios(t *testing.T) {
	figures := []*Figure{
		figureOf("s1", "easymicro", []Repetition{repetition(1, 350, 0)}, 0.05),
		figureOf("s1", "grpc-go", []Repetition{repetition(1, 100, 0)}, 0.05),
		figureOf("s1", "pp+pb", []Repetition{repetition(1, 1000, 0)}, 0.05),
		figureOf("compute-10us-s2", "easymicro", []Repetition{repetition(1, 96, 0)}, 0.05),
		figureOf("compute-10us-s2", base, []Repetition{repetition(1, 100, 0)}, 0.05),
	}
	met := map[string]bool{}
	for _, o := range outcomes(figures) {
		met[o.Scenario+" to "+o.To] = o.Met
	}
	want := map[string]bool{"s1 to grpc-go": true, "s1 to pp+pb": false, "compute-10us-s2 to " + base: true}
	if len(met) != len(want) {
		t.Errorf("%v, want %v", met, want)
	}
	for name, is := range want {
		if met[name] != is {
			t.Errorf("%s: %v", name, met[name])
		}
	}
}
