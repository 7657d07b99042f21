package registry

import (
	"context"
	"strings"
	"testing"
)

func TestAPanicOfACheckIsAFinding(t *testing.T) {
	r := New()
	Register("h", limits{Max: 7}, openAdder, In(r), Check("breaks", func(_ Configured, o limits) []Finding { panic(o.Tags[o.Max]) }),
		Check("sees", func(s Configured, o limits) []Finding {
			return []Finding{{Message: s.Service + strings.Repeat("!", o.Max)}}
		}))
	e, _ := r.Lookup("h")
	o, err := e.DecodeOptions(func(into any) error { into.(*limits).Max = 2; return nil })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	e.Check(Configured{Service: "S"}, o, func(check string, f Finding) { got = append(got, check+" "+f.Message) })
	if len(got) != 2 || !strings.HasPrefix(got[0], "breaks the check failed: panic: runtime error: index out of range") || got[1] != "sees S!!" {
		t.Errorf("%q", got)
	}
}

func TestAHandlerWithoutOptionsHasChecks(t *testing.T) {
	r := New()
	Plain(&adder{}, In(r), As("plain"), Check("sees", func(s Configured, _ struct{}) []Finding { return []Finding{{Message: s.Service}} }))
	e, _ := r.Lookup("plain")
	o, err := e.DecodeOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	e.Check(Configured{Service: "S"}, o, func(_ string, f Finding) {
		if n++; f.Message != "S" {
			t.Errorf("%+v", f)
		}
	})
	if n != 1 {
		t.Errorf("%d findings", n)
	}
}

func TestAMistakenCheckPanicsAtRegistration(t *testing.T) {
	none := func(Configured, limits) []Finding { return nil }
	for want, opts := range map[string][]Option{
		`check "Short TTL": want 1 to 64 characters`: {Check("Short TTL", none)},
		`check "twice": the name is taken`:           {Check("twice", none), Check("twice", none)},
		"takes options of type registry.pair":        {Check("other", func(Configured, pair) []Finding { return nil })},
		"has no function":                            {Check[limits]("nil", nil)},
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, want) {
					t.Errorf("panic %q, want %q", text, want)
				}
			}()
			Register("h", limits{}, func(context.Context, limits, Env) (*Service, error) { return nil, nil }, append(opts, In(New()))...)
		}()
	}
}
