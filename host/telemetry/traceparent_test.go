package telemetry

import (
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"
)

const (
	someTrace   = "0af7651916cd43dd8448eb211c80319c"
	someSpan    = "b7ad6b7169203331"
	sampledOne  = "00-" + someTrace + "-" + someSpan + "-01"
	ignoredOne  = "00-" + someTrace + "-" + someSpan + "-00"
	emptyTrace  = "00000000000000000000000000000000"
	emptySpanID = "0000000000000000"
)

func TestAWellFormedTraceparentIsUnderstood(t *testing.T) {
	for text, flags := range map[string]trace.TraceFlags{
		sampledOne: trace.FlagsSampled,
		ignoredOne: 0,
		"00-" + someTrace + "-" + someSpan + "-03":                              trace.FlagsSampled | trace.FlagsRandom,
		"00-" + someTrace + "-" + someSpan + "-ff":                              trace.FlagsSampled | trace.FlagsRandom,
		"cc-" + someTrace + "-" + someSpan + "-01":                              trace.FlagsSampled,
		"cc-" + someTrace + "-" + someSpan + "-01-what-the-future-will-be-like": trace.FlagsSampled,
	} {
		r, ok := parseTraceparent(text)
		if !ok || r.trace.String() != someTrace || r.span.String() != someSpan || r.flags != flags {
			t.Errorf("%s: %v %v", text, r, ok)
		}
	}
	r, _ := parseTraceparent(sampledOne)
	if r.String() != sampledOne {
		t.Errorf("written as %s", &r)
	}
}

func TestAMalformedTraceparentIsNone(t *testing.T) {
	for _, text := range []string{
		"", "00", "x", sampledOne[:54], sampledOne + "x", sampledOne + "-x", " " + sampledOne,
		"ff" + sampledOne[2:], "0g" + sampledOne[2:], "cc" + sampledOne[2:] + "x",
		strings.ToUpper(sampledOne), strings.ReplaceAll(sampledOne, "-", "_"),
		"00-" + emptyTrace + "-" + someSpan + "-01", "00-" + someTrace + "-" + emptySpanID + "-01",
		"00-" + someTrace + "-" + someSpan + "-0x", sampledOne + "," + sampledOne, strings.Repeat("é", 40),
	} {
		if r, ok := parseTraceparent(text); ok {
			t.Errorf("%q is %v", text, r)
		}
	}
}

func TestOnlyAValidTracestateIsPropagated(t *testing.T) {
	for text, want := range map[string]bool{
		"a=1": true, "a=1,b@c=2": true, "": false, "a": false, "=1": false, "a=1\n": false, "a=\x7f": false, "a=é": false,
		"a=" + strings.Repeat("1", 510): true, "a=" + strings.Repeat("1", 511): false,
	} {
		if got := validTracestate(text); (got == text && got != "") != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add(sampledOne)
	f.Add("cc-" + someTrace + "-" + someSpan + "-01-x")
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := parseTraceparent(text)
		if !ok {
			return
		}
		again, ok := parseTraceparent(r.String())
		if !ok || again != r {
			t.Errorf("%q is %v and then %v", text, r, again)
		}
	})
}
