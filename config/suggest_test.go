package config

import (
	"strings"
	"testing"

	"github.com/agext/levenshtein"
)

func TestSuggestedIsWhatWasProbablyMeant(t *testing.T) {
	for _, tt := range []struct {
		word  string
		known []string
		want  string
	}{
		{"raet", []string{"rate", "burst"}, "rate"},
		{"brust", []string{"rate", "burst"}, "burst"},
		{"arih", []string{"Arith", "Arithmetic"}, "Arith"},
		{"ARITH", []string{"Arith"}, "Arith"},
		{"circuitBraeker", []string{"circuitBreaker"}, "circuitBreaker"},
		{"met", []string{"methods", "metadata"}, "methods"},
		{"grüsse", []string{"grüße", "groups"}, "grüße"},
		{"xyz", []string{"rate", "burst"}, ""},
		{"", []string{"rate"}, ""},
		{strings.Repeat("a", 65), []string{strings.Repeat("a", 64)}, ""},
		{"a", []string{strings.Repeat("a", 1000)}, ""},
	} {
		if got := Suggest(tt.word, tt.known); got != tt.want {
			t.Errorf("%q of %q: %q, want %q", tt.word, tt.known, got, tt.want)
		}
	}
}

// TestStrangeLettersAreNoMoreThanTheEdits keeps the filter from leaving out what is near.
func TestStrangeLettersAreNoMoreThanTheEdits(t *testing.T) {
	words := strings.Fields("a ab ba abc acb aabb bbaa rate raet burst brust methods metadata window circuitbreaker circuitbraeker grüße")
	for _, a := range words {
		for _, b := range words {
			if s, d := strange(a, b), levenshtein.Distance(a, b, nil); s > d {
				t.Errorf("%q, %q: %d strange letters and %d edits", a, b, s, d)
			}
		}
	}
}

func BenchmarkSuggestAmongAThousand(b *testing.B) {
	var known []string
	for i := range 1000 {
		known = append(known, "SomeServiceNumber"+strings.Repeat("x", i%7)+string(rune('a'+i%26)))
	}
	for b.Loop() {
		Suggest(strings.Repeat("q", 24), known)
	}
}
