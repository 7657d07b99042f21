package wildcard_test

import (
	"path"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/easymicro/easymicro/wire/wildcard"
)

func TestOnlyTheStarIsSpecial(t *testing.T) {
	for _, test := range []struct {
		pattern string
		yes, no []string
	}{
		{"", []string{""}, []string{"x"}},
		{"Mul", []string{"Mul"}, []string{"mul", "Mult", "", "M*l"}},
		{"*", []string{"", "x", "*"}, nil},
		{"partner-*", []string{"partner-", "partner-a"}, []string{"partner", "a-partner-b"}},
		{"*Export", []string{"Export", "ReExport"}, []string{"Exports"}},
		{"a*b*c", []string{"abc", "axbxc", "abbc", "abcbc"}, []string{"ac", "acb", "bc"}},
		{"a*a", []string{"aa", "aba"}, []string{"a", "ab"}},
		{"*ab*ab*", []string{"abab", "xabxabx"}, []string{"ab", "aab"}},
		{"a**b", []string{"ab", "axb"}, []string{"a"}},
		{"auth0|x", []string{"auth0|x"}, []string{"auth0"}},
		{"spiffe://td/ns/*", []string{"spiffe://td/ns/a/sa/b"}, []string{"spiffe://td/n"}},
		{`[a-z]?\{x}`, []string{`[a-z]?\{x}`}, []string{"b", "ax"}},
	} {
		for _, s := range test.yes {
			if !wildcard.Match(test.pattern, s) {
				t.Errorf("%q does not match %q", test.pattern, s)
			}
		}
		for _, s := range test.no {
			if wildcard.Match(test.pattern, s) {
				t.Errorf("%q matches %q", test.pattern, s)
			}
		}
	}
}

// naive matches by trying every text for every star.
func naive(pattern, s string) bool {
	switch {
	case pattern == "":
		return s == ""
	case pattern[0] == '*':
		return naive(pattern[1:], s) || (s != "" && naive(pattern, s[1:]))
	default:
		return s != "" && s[0] == pattern[0] && naive(pattern[1:], s[1:])
	}
}

var (
	patterns = rapid.StringMatching(`[ab?\[*]{0,8}`)
	texts    = rapid.StringMatching(`[ab?\[]{0,10}`)
)

func TestMatchAgreesWithExhaustiveSearch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern, text := patterns.Draw(t, "pattern"), texts.Draw(t, "text")
		if want := naive(pattern, text); wildcard.Match(pattern, text) != want {
			t.Errorf("%q matches %q: %v", pattern, text, !want)
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("a*b*c", "abc")
	f.Add("*\xff*", "\xff")
	f.Fuzz(func(t *testing.T, pattern, text string) {
		if len(pattern) > 12 || len(text) > 16 {
			return
		}
		if want := naive(pattern, text); wildcard.Match(pattern, text) != want {
			t.Errorf("%q matches %q: %v", pattern, text, !want)
		}
		if !strings.ContainsAny(pattern, `?[\`) && strings.ToValidUTF8(pattern+text, "") == pattern+text && !strings.Contains(text, "/") {
			if want, err := path.Match(pattern, text); err != nil || want != wildcard.Match(pattern, text) {
				t.Errorf("%q matches %q: package path says %v, %v", pattern, text, want, err)
			}
		}
	})
}

func TestManyStarsTakeLinearTime(t *testing.T) {
	pattern, text := strings.Repeat("a*", 9)+"b", strings.Repeat("a", 1<<16)
	took := time.Hour
	for tries := 0; took > time.Second && tries < 5; tries++ { // on a busy machine
		begun := time.Now()
		if wildcard.Match(pattern, text) {
			t.Error("it matches")
		}
		took = min(took, time.Since(begun))
	}
	if took > time.Second {
		t.Errorf("took %v", took)
	}
}

// short are all patterns of up to 3 characters. all are texts of up to 7 letters that distinguish them; x is in no pattern.
func short() (*rapid.Generator[string], []string) {
	var all []string
	for n, last := 0, []string{""}; n <= 7; n++ {
		all = append(all, last...)
		var next []string
		for _, s := range last {
			next = append(next, s+"a", s+"b", s+"x")
		}
		last = next
	}
	return rapid.StringMatching(`[ab*]{0,3}`), all
}

func TestPatternsOverlapIfAndOnlyIfSomeTextMatchesBoth(t *testing.T) {
	short, all := short()
	rapid.Check(t, func(t *rapid.T) {
		a, b, want := short.Draw(t, "a"), short.Draw(t, "b"), false
		for _, s := range all {
			want = want || wildcard.Match(a, s) && wildcard.Match(b, s)
		}
		if wildcard.Overlap(a, b) != want || wildcard.Overlap(b, a) != want {
			t.Errorf("%q and %q overlap: %v", a, b, !want)
		}
	})
}

func TestAPatternCoversAnotherIfAndOnlyIfItMatchesAllItsTexts(t *testing.T) {
	short, all := short()
	rapid.Check(t, func(t *rapid.T) {
		wide, narrow, want := short.Draw(t, "wide"), short.Draw(t, "narrow"), true
		for _, s := range all {
			want = want && (wildcard.Match(wide, s) || !wildcard.Match(narrow, s))
		}
		if wildcard.Covers(wide, narrow) != want {
			t.Errorf("%q covers %q: %v", wide, narrow, !want)
		}
	})
}

func TestCommonMatchesOnlyTextsThatBothMatch(t *testing.T) {
	short, all := short()
	rapid.Check(t, func(t *rapid.T) {
		a, b := short.Draw(t, "a"), short.Draw(t, "b")
		if !wildcard.Overlap(a, b) {
			return
		}
		both, whole := wildcard.Common(a, b)
		if !wildcard.Covers(a, both) || !wildcard.Covers(b, both) {
			t.Errorf("%q is not common to %q and %q", both, a, b)
		}
		for _, s := range all {
			if whole && wildcard.Match(a, s) && wildcard.Match(b, s) && !wildcard.Match(both, s) {
				t.Errorf("%q is not the whole that %q and %q have in common: %q", both, a, b, s)
			}
		}
	})
}
