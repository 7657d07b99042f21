package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config"
)

func TestADiffHasTheInterceptorsThatAnEditChanges(t *testing.T) {
	manifest := func(around string) string {
		return "services:\n  - {name: Arith, handler: samples.arith,\n     around: [" + around + "]}"
	}
	for name, c := range map[string]struct {
		old, next string
		want      []string
	}{
		"a name alone and a mapping are one": {"a, b", "{name: a}, {name: b}", nil},
		"another order":                      {"a, b", "b, a", []string{"service Arith: around [a, b] → [b, a] (easymicro.yaml:3)"}},
		"one more":                           {"", "a", []string{"service Arith: around none → [a] (easymicro.yaml:3)"}},
		"options": {
			"{name: a, options: {max: 1}}, b", "{name: a, options: {max: 2, password: x}}, b",
			[]string{"service Arith: around[0].options.max 1 → 2, password none → … (easymicro.yaml:3)"},
		},
	} {
		changes := config.Diff(setOf(t, manifest(c.old), "", ""), setOf(t, manifest(c.next), "", ""))
		if d := cmp.Diff(c.want, changes.Lines()); d != "" {
			t.Errorf("%s: -want +got\n%s", name, d)
		}
		for _, change := range changes {
			if change.Class != config.Live || change.Effect != config.Changed {
				t.Errorf("%s: %+v: want live, and neither wider nor tighter", name, change)
			}
		}
	}
}

func TestAnInterceptorRunsOnceAroundACall(t *testing.T) {
	set := setOf(t, "around: [a]\nservices:\n- {name: A, handler: x, around: [b, b]}\n- {name: B, handler: x, around: [b, a]}", "", "")
	var got []string
	for _, p := range set.Validate() {
		got = append(got, p.Error())
	}
	want := []string{
		"easymicro.yaml:3:37: services[0].around[1]: b is listed twice",
		"easymicro.yaml:4:37: services[1].around[1]: a runs around all services already: around[0] lists it",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
}
