package config

import (
	"reflect"
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
