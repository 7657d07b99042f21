package bearer

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
)

func TestTextOfAClaim(t *testing.T) {
	t.Parallel()
	const notText, absent = "must be a string", "(none)"
	for _, c := range []struct{ value, want string }{
		{`"acme"`, "acme"},
		{`"\u0061cme \"a\""`, `acme "a"`},
		{`""`, absent},
		{`null`, absent},
		{`[]`, absent},
		{`7`, "7"},
		{`12345678901234567890`, "12345678901234567890"}, // not rounded
		{`1.50`, "1.50"},
		{`true`, "true"},
		{`["acme"]`, "acme"},
		{`[7]`, "7"},
		{`[ "a", "\u0062" , 7, false ]`, `["a","b",7,false]`},
		{`["a\"b", "<"]`, `["a\"b","<"]`},
		{`{"id": 7}`, notText},
		{`[["a"]]`, notText},
		{`[null, "a"]`, notText},
		{`["a", {"b": 1}]`, notText},
		{`"` + strings.Repeat("x", 255) + `"`, strings.Repeat("x", 255)},
		{`"` + strings.Repeat("x", 256) + `"`, "longer than 255 bytes"},
	} {
		got, err := claimsOf([]byte(`{"sub": "web", "org": `+c.value+`}`), map[string]string{"tenant": "org", "plan": "plan"})
		text, ok := got["tenant"]
		switch {
		case err != nil:
			text = err.Error()
		case !ok:
			text = absent
		}
		if text != c.want && (err == nil || !strings.Contains(text, c.want)) || len(got) > 1 {
			t.Errorf("%s: %q %v, want %q", c.value, text, got, c.want)
		}
	}
}

// FuzzClaims checks that claims of any JSON have bounded values, and that lists are JSON.
func FuzzClaims(f *testing.F) {
	for _, seed := range []string{`{"org": "a"}`, `{"org": ["a", 7, true]}`, `{"org": {"a": [1e400]}}`, `{"org": "\ud800"}`, `{"org": [[]]}`, `[`} {
		f.Add([]byte(seed))
	}
	named := map[string]string{"tenant": "org"}
	f.Fuzz(func(t *testing.T, token []byte) {
		got, err := claimsOf(token, named)
		value, ok := got["tenant"]
		switch {
		case err != nil && got != nil:
			t.Fatalf("%q beside %v", got, err)
		case ok && (value == "" || len(value) > maxClaimBytes):
			t.Fatalf("%q", value)
		case strings.HasPrefix(value, "[") && strings.HasSuffix(value, "]"):
			var list []any
			if err := json.Unmarshal([]byte(value), &list); err != nil && !strings.Contains(string(token), `"[`) && !strings.Contains(string(token), `\u`) {
				t.Fatalf("%q of %q: %v", value, token, err)
			}
		}
	})
}
