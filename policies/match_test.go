package policies

import (
	"net/netip"
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestGlobs(t *testing.T) {
	for _, test := range []struct {
		pattern string
		yes, no []string
	}{
		{"Mul", []string{"Mul"}, []string{"mul", "Mult", "", "M*l"}},
		{"*", []string{"", "x", "*"}, nil},
		{"partner-*", []string{"partner-", "partner-a"}, []string{"partner", "a-partner-b"}},
		{"*Export", []string{"Export", "ReExport"}, []string{"Exports"}},
		{"a*b*c", []string{"abc", "axbxc", "abbc", "abcbc"}, []string{"ac", "acb", "bc"}},
		{"a*a", []string{"aa", "aba"}, []string{"a", "ab"}},
		{"*x*", []string{"x", "axb"}, []string{"ab"}},
		{"a**b", []string{"ab", "axb"}, []string{"a"}},
	} {
		g := compileGlob(test.pattern)
		for _, s := range test.yes {
			if !g.matches(s) {
				t.Errorf("%q does not match %q", test.pattern, s)
			}
		}
		for _, s := range test.no {
			if g.matches(s) {
				t.Errorf("%q matches %q", test.pattern, s)
			}
		}
	}
}

var (
	patterns = rapid.StringMatching(`[ab*]{0,6}`)
	texts    = rapid.StringMatching(`[ab]{0,8}`)
)

func TestGlobsMatchAsThoseOfThePathPackageDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern, text := patterns.Draw(t, "pattern"), texts.Draw(t, "text")
		want, err := path.Match(pattern, text)
		if err != nil {
			t.Fatal(err)
		}
		g := compileGlob(pattern)
		if g.matches(text) != want {
			t.Errorf("%q matches %q: %v", pattern, text, !want)
		}
	})
}

func TestGlobsOverlapExactlyIfSomeTextMatchesBoth(t *testing.T) {
	var all []string // of up to 7 letters: enough for two patterns of up to 3 signs
	for n, last := 0, []string{""}; n <= 7; n++ {
		all = append(all, last...)
		var next []string
		for _, s := range last {
			next = append(next, s+"a", s+"b")
		}
		last = next
	}
	short := rapid.StringMatching(`[ab*]{0,3}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := compileGlob(short.Draw(t, "a")), compileGlob(short.Draw(t, "b"))
		want := false
		for _, s := range all {
			want = want || a.matches(s) && b.matches(s)
		}
		if a.overlap(&b) != want || b.overlap(&a) != want {
			t.Errorf("%q and %q overlap: %v", a.text, b.text, !want)
		}
	})
}

func TestNetworks(t *testing.T) {
	for _, test := range []struct{ network, in, out string }{
		{"10.0.0.0/8", "10.255.0.1", "11.0.0.1"},
		{"10.1.2.3/8", "10.0.0.1", "11.0.0.1"},
		{"10.0.0.1", "10.0.0.1", "10.0.0.2"},
		{"::ffff:10.0.0.0/104", "10.0.0.1", "11.0.0.1"},
		{"2001:db8::/32", "2001:db8::1", "10.0.0.1"},
		{"0.0.0.0/0", "10.0.0.1", "2001:db8::1"},
	} {
		n, err := parseNetworks([]string{test.network})
		if err != nil {
			t.Fatal(err)
		}
		if !contains(n, netip.MustParseAddr(test.in)) || contains(n, netip.MustParseAddr(test.out)) || contains(n, netip.Addr{}) {
			t.Errorf("%s", test.network)
		}
	}
	for _, bad := range []string{"10.0.0.0/33", "host", ""} {
		if _, err := parseNetwork(bad); err == nil || !strings.Contains(err.Error(), "peer") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
