package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// A kind is a block of Rule and a row of kinds.
func TestEveryKindHasItsProperties(t *testing.T) {
	places := map[int]Kind{}
	for _, row := range kinds {
		if row.kind.has(everyRule) == row.kind.has(oneWins) {
			t.Errorf("%s: either every rule counts or one wins", row.kind)
		}
		if row.client == 0 && row.kind.ClientOnly() {
			t.Errorf("%s is for no calls", row.kind)
		}
		if other, taken := places[row.client]; taken && row.client > 0 {
			t.Errorf("%s and %s have one place in the order of a client", other, row.kind)
		}
		places[row.client] = row.kind
	}
	found := 0
	for f := range reflect.TypeFor[Rule]().Fields() {
		if !f.IsExported() || f.Type.Kind() != reflect.Pointer || f.Name == "EnforceShare" {
			continue
		}
		found++
		var r Rule
		reflect.ValueOf(&r).Elem().FieldByIndex(f.Index).Set(reflect.New(f.Type.Elem()))
		list := r.Kinds()
		if len(list) != 1 || string(list[0]) != f.Tag.Get("yaml") {
			t.Errorf("a rule with %s has the kinds %v", f.Name, list)
			continue
		}
		if part := only(&r, list[0]); !slices.Equal(part.Kinds(), list) {
			t.Errorf("of a rule with %s, %v is left", f.Name, part.Kinds())
		}
	}
	if found != len(kinds) {
		t.Errorf("%d kinds, but %d blocks of a rule", len(kinds), found)
	}
}

// ruleWith returns a rule with one kind.
func ruleWith(t *testing.T, kind Kind) Rule {
	t.Helper()
	match, block := "service: A", map[Kind]string{
		KindAccess: "{deny: [{caller: a}]}", KindRateLimit: "{rate: 1}", KindCircuitBreaker: "{consecutiveFailures: 1}", KindConcurrency: "{max: 1}",
		KindTimeout: "1s", KindPriority: "high", KindShed: "{cpuAbove: 85%}", KindRetry: "{}", KindHedge: "{delay: 1s, methods: [X]}", KindOutlierDetection: "{}",
	}[kind]
	if kind.ClientOnly() {
		match = "upstream: a"
	}
	rules, problems := DecodeRules("p.yaml", []byte("rules:\n- {name: one, match: {"+match+"}, "+string(kind)+": "+block+"}\n"), nil)
	if block == "" || len(problems) > 0 {
		t.Fatalf("%s has no block here that is valid: %v", kind, problems)
	}
	return rules[0]
}

// What widens the rules is judged by these effects.
func TestAKindThatRefusesCallsMakesASetTighter(t *testing.T) {
	for _, kind := range Kinds() {
		with := ruleWith(t, kind)
		without := only(&with)
		without.Name = with.Name
		want, opposite := Tighter, Wider
		if !kind.refuses() {
			want, opposite = Changed, Changed
		}
		for _, c := range []struct {
			name      string
			old, next []Rule
			want      Effect
		}{
			{"rule added", nil, []Rule{with}, want},
			{"rule removed", []Rule{with}, nil, opposite},
			{"kind added", []Rule{without}, []Rule{with}, want},
			{"kind removed", []Rule{with}, []Rule{without}, opposite},
		} {
			changes := Diff(&Set{Rules: c.old}, &Set{Rules: c.next})
			if len(changes) != 1 || changes[0].Effect != c.want {
				t.Errorf("%s: %s: %q, want %s", kind, c.name, changes.Signed(), c.want)
			}
		}
	}
}

// A second kind with a key has to be known where this one is: to keyParts and keyPath, to Snapshot.KeyText and spec.undecided of
// package policies, and to keyOf of package host.
func TestOnlyRateLimitsHaveAKey(t *testing.T) {
	for f := range reflect.TypeFor[Rule]().Fields() {
		if f.Type.Kind() != reflect.Pointer || f.Type.Elem().Kind() != reflect.Struct {
			continue
		}
		for inner := range f.Type.Elem().Fields() {
			if inner.Type == reflect.TypeFor[Key]() && f.Name != "RateLimit" {
				t.Errorf("%s has a key, which the functions above do not know", f.Name)
			}
		}
	}
}

// A kind with methods of its own must not be bypassed by another spelling of a method, which MethodPatterns is for.
func TestMethodPatternsAreOfAllKinds(t *testing.T) {
	var r Rule
	var want []string
	var fill func(path string, v reflect.Value)
	fill = func(path string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(path, v.Elem())
		case reflect.Struct:
			for f, value := range v.Fields() {
				if f.IsExported() && f.Name != "Expires" {
					fill(path+"."+f.Name, value)
				}
			}
		case reflect.Slice:
			if v.Type() == patternsType && (strings.HasSuffix(path, ".Method") || strings.HasSuffix(path, ".Methods")) {
				v.Set(reflect.ValueOf(Patterns{path}))
				want = append(want, path)
			} else if v.Type().Elem().Kind() == reflect.Struct {
				v.Set(reflect.MakeSlice(v.Type(), 1, 1))
				fill(path, v.Index(0))
			}
		default:
		}
	}
	fill("", reflect.ValueOf(&r).Elem())
	want = slices.DeleteFunc(want, func(path string) bool { return path == ".Hedge.Methods" })
	if got := r.MethodPatterns(); !slices.Equal(got, want) || len(want) != 4 {
		t.Errorf("got %q, want %q", got, want)
	}
}
