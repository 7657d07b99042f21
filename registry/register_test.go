package registry

import (
	"context"
	"reflect"
	"strings"
	"testing"
)

type pair struct{ A, B int }

type sum struct{ C int }

type adder struct{ bias int }

func (a *adder) Add(_ context.Context, args *pair, reply *sum) error {
	reply.C = args.A + args.B + a.bias
	return nil
}

type limits struct {
	Max  int
	Tags []string
}

func openAdder(context.Context, limits, Env) (*Service, error) { return Receiver(&adder{}), nil }

func TestARegisteredHandlerIsFoundByItsName(t *testing.T) {
	r := New()
	Register("b.second", limits{Max: 7}, openAdder, In(r), Uses("billing", "stock"), Methods[adder]())
	Plain(&adder{}, In(r), As("a.first"))

	e, ok := r.Lookup("b.second")
	if !ok {
		t.Fatal("not found")
	}
	if e.Options != reflect.TypeFor[limits]() || e.Defaults.(limits).Max != 7 {
		t.Errorf("options %v, defaults %v", e.Options, e.Defaults)
	}
	if !reflect.DeepEqual(e.Uses, []string{"billing", "stock"}) {
		t.Errorf("uses %v", e.Uses)
	}
	if len(e.Methods) != 1 || e.Methods[0].Name != "Add" || e.Methods[0].Args != reflect.TypeFor[pair]() {
		t.Errorf("methods %v", e.Methods)
	}
	if want := "github.com/easymicro/easymicro/registry"; e.Package != want {
		t.Errorf("package %q, want %q", e.Package, want)
	}
	if all := r.Entries(); len(all) != 2 || all[0].Name != "a.first" || all[1].Name != "b.second" {
		t.Errorf("entries are not sorted by name: %v", all)
	}
	if _, ok := Default().Lookup("b.second"); ok {
		t.Error("In(r) registered in Default as well")
	}
}

func TestAPlainValueIsNamedAfterItsPackageAndType(t *testing.T) {
	for _, v := range []any{&adder{}, &Upper{}, Upper{}} {
		r := New()
		Plain(v, In(r))
		want := "registry." + strings.ToLower(strings.TrimPrefix(reflect.Indirect(reflect.ValueOf(v)).Type().Name(), "*"))
		if _, ok := r.Lookup(want); !ok {
			t.Errorf("%T: no %s in %v", v, want, r.Entries())
		}
	}
}

func TestAPlainValueTakesNoOptions(t *testing.T) {
	r := New()
	Plain(&adder{}, In(r))
	e, _ := r.Lookup("registry.adder")
	if e.Options != nil || e.Defaults != nil {
		t.Errorf("options %v, defaults %v", e.Options, e.Defaults)
	}
	var into any
	if _, err := e.DecodeOptions(func(v any) error { into = v; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, ok := into.(*struct{}); !ok {
		t.Errorf("decoded into a %T, want an empty struct, so that a strict decoder rejects any field", into)
	}
}

type Upper struct{ adder }

type inner struct{}

func (inner) Close() error { return nil }

type recursive struct{ Next *recursive }

func TestMistakesInTheProgramPanicAtRegistration(t *testing.T) {
	loop := recursive{}
	loop.Next = &loop
	in := func(r *Registry) []Option { return []Option{In(r)} }
	tests := []struct {
		name string
		do   func(r *Registry)
		want string
	}{
		{"bad name", func(r *Registry) { Register("a b", limits{}, openAdder, in(r)...) }, `handler "a b", registered by`},
		{"empty name", func(r *Registry) { Register("", limits{}, openAdder, in(r)...) }, "1 to 64 characters of A-Z a-z 0-9 . _ -"},
		{"long name", func(r *Registry) { Register(strings.Repeat("x", 65), limits{}, openAdder, in(r)...) }, "1 to 64 characters of"},
		{"bad other name", func(r *Registry) { Plain(&adder{}, In(r), As("ä")) }, "1 to 64 characters of"},
		{"no open function", func(r *Registry) { Register[limits]("x", limits{}, nil, in(r)...) }, `"x" has no open function`},
		{"options no struct", func(r *Registry) {
			Register("x", 3, func(context.Context, int, Env) (*Service, error) { return nil, nil }, in(r)...)
		}, "options are int, want a struct"},
		{"options without end", func(r *Registry) {
			Register("x", loop, func(context.Context, recursive, Env) (*Service, error) { return nil, nil }, in(r)...)
		}, "refer to themselves"},
		{
			"declared type without methods", func(r *Registry) { Register("x", limits{}, openAdder, In(r), Methods[inner]()) },
			"registry.inner has no method of the form (context.Context, *Args, *Reply) error: Close: takes no parameters",
		},
		{
			"declared twice", func(r *Registry) {
				Register("x", limits{}, openAdder, In(r), Methods[adder](), UnaryMethod[pair, sum]("Add"))
			},
			`method "Add" exists twice`,
		},
		{"bad declared name", func(r *Registry) { Register("x", limits{}, openAdder, In(r), UnaryMethod[pair, sum]("a.b")) }, `method "a.b"`},
		{"plain nil", func(r *Registry) { Plain(nil, In(r)) }, "receiver is nil"},
		{"plain nil pointer", func(r *Registry) { Plain((*adder)(nil), In(r)) }, "receiver is a nil *registry.adder"},
		{"plain without methods", func(r *Registry) { Plain(&struct{}{}, In(r)) }, "*struct {} has no exported methods"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := New()
			if got := mustPanic(t, func() { tt.do(r) }); !strings.Contains(got, tt.want) {
				t.Errorf("panicked with %q, want %q in it", got, tt.want)
			}
			if len(r.Entries()) != 0 {
				t.Error("it is registered all the same")
			}
		})
	}
}

func TestADuplicateNamesBothPositions(t *testing.T) {
	r := New()
	Register("twice", limits{}, openAdder, In(r))
	got := mustPanic(t, func() { Plain(&adder{}, In(r), As("twice")) })
	const place = "github.com/easymicro/easymicro/registry (register_test.go:"
	if !strings.Contains(got, `"twice"`) || strings.Count(got, place) != 2 {
		t.Errorf("panicked with %q, want both places like %s…)", got, place)
	}
}

func TestThePackageOfAFunction(t *testing.T) {
	for function, want := range map[string]string{
		"github.com/x/orders.init.0":         "github.com/x/orders",
		"main.main":                          "main",
		"gopkg.in/yaml%2ev3.(*T).M":          "gopkg.in/yaml.v3",
		"github.com/x.y/orders.Reg[...]":     "github.com/x.y/orders",
		"github.com/x/orders.(*H).f.func1.2": "github.com/x/orders",
	} {
		if got := packageOf(function); got != want {
			t.Errorf("%s: %s, want %s", function, got, want)
		}
	}
}
