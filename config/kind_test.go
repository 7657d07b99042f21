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
		if len(list) != 1 || string(list[0]) != f.Tag.Get("yaml") || list[0].has(later) != (f.Tag.Get("later") == "true") {
			t.Errorf("a rule with %s has the kinds %v", f.Name, list)
		}
	}
	if found != len(kinds) {
		t.Errorf("%d kinds, but %d blocks of a rule", len(kinds), found)
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
