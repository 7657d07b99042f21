package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestTheClosestWordIsSuggested(t *testing.T) {
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

// TestStrangeLettersAreAtMostTheEdits keeps the filter from leaving out what is near.
func TestStrangeLettersAreAtMostTheEdits(t *testing.T) {
	words := strings.Fields("a ab ba abc acb aabb bbaa rate raet burst brust methods metadata window circuitbreaker circuitbraeker grüße")
	for _, a := range words {
		for _, b := range words {
			if s, d := strange(a, b), alignment([]rune(a), []rune(b), 100); s > d {
				t.Errorf("%q, %q: %d strange letters and %d edits", a, b, s, d)
			}
		}
	}
}

func TestATranspositionIsOneEdit(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"abc", "abc", 0},
		{"abc", "acb", 1},
		{"abcd", "badc", 2},
		{"abc", "xbc", 1},
		{"abc", "ab", 1},
		{"ab", "xaby", 2},
		{"ca", "abc", 3},
		{"grüsse", "grüße", 2},
		{"kitten", "sitting", 3},
		{"üö", "öü", 1},
	} {
		for most := range 5 {
			got := alignment([]rune(tt.a), []rune(tt.b), most)
			if got != tt.want && (got <= most || tt.want <= most) {
				t.Errorf("%q, %q: %d, want %d, of %d at most", tt.a, tt.b, got, tt.want, most)
			}
		}
	}
}

// farFromAll is a word that is almost as near to all of many others, and has their letters.
func farFromAll() (word string, known []string) {
	for i := range 1000 {
		known = append(known, fmt.Sprintf("acme.payments.v1.Service%03d", i))
	}
	return "amce.paymnets.v1.Serivce", known
}

// Callers may choose the word.
func TestEachWordIsComparedOnce(t *testing.T) {
	word, known := farFromAll()
	if n := testing.AllocsPerRun(3, func() { Suggest(word, known) }); n > float64(4*len(known)) {
		t.Errorf("%v allocations for %d words", n, len(known))
	}
}

func BenchmarkSuggestOfNothingNear(b *testing.B) {
	word, known := farFromAll()
	for b.Loop() {
		Suggest(word, known)
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
