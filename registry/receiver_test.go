package registry

import (
	"context"
	"io"
	"slices"
	"testing"
)

type misfits struct{}

func (misfits) Fits(context.Context, *pair, *sum) error              { return nil }
func (*misfits) FitsToo(context.Context, *[]byte, *string) error     { return nil }
func (misfits) FitsAny(context.Context, *any, *map[string]int) error { return nil }

func (misfits) Nothing() error                                       { return nil }
func (misfits) One(context.Context) error                            { return nil }
func (misfits) Two(context.Context, *pair) (*sum, error)             { return nil, nil }
func (misfits) Four(context.Context, *pair, *sum, int) error         { return nil }
func (misfits) Variadic(context.Context, *pair, ...*sum) error       { return nil }
func (misfits) NoContext(*pair, *pair, *sum) error                   { return nil }
func (misfits) Value(context.Context, pair, *sum) error              { return nil }
func (misfits) ReplyValue(context.Context, *pair, sum) error         { return nil }
func (misfits) Channel(context.Context, *chan int, *sum) error       { return nil }
func (misfits) Function(context.Context, *pair, *func()) error       { return nil }
func (misfits) Pointers(context.Context, **pair, *sum) error         { return nil }
func (misfits) Reader(context.Context, *io.Reader, *sum) error       { return nil }
func (misfits) NoResult(context.Context, *pair, *sum)                {}
func (misfits) TwoResults(context.Context, *pair, *sum) (int, error) { return 0, nil }
func (misfits) OtherResult(context.Context, *pair, *sum) int         { return 0 }
func (misfits) Many(context.Context, pair, sum)                      {}
func (misfits) unexported(context.Context, *pair, *sum) error        { return nil }

func TestUnsuitableMethodsAreSkippedWithAReason(t *testing.T) {
	_ = misfits.unexported
	s := Receiver(misfits{})
	if s.err != nil {
		t.Fatal(s.err)
	}
	want := map[string]string{
		"Nothing":     "takes no parameters, want context.Context, *Args, *Reply",
		"One":         "takes 1 parameter, want context.Context, *Args, *Reply",
		"Two":         "takes 2 parameters, want context.Context, *Args, *Reply; registry.Unary serves functions that return the reply",
		"Many":        "second parameter is registry.pair, want a pointer; third parameter is registry.sum, want a pointer; returns nothing, want error",
		"Four":        "takes 4 parameters, want context.Context, *Args, *Reply",
		"Variadic":    "takes a variable number of parameters, want context.Context, *Args, *Reply",
		"NoContext":   "first parameter is *registry.pair, want context.Context",
		"Value":       "second parameter is registry.pair, want a pointer",
		"ReplyValue":  "third parameter is registry.sum, want a pointer",
		"Channel":     "second parameter is *chan int, which no codec can carry",
		"Function":    "third parameter is *func(), which no codec can carry",
		"Pointers":    "second parameter is **registry.pair, want a pointer to a value",
		"Reader":      "second parameter is *io.Reader, want a pointer to a concrete type",
		"NoResult":    "returns nothing, want error",
		"TwoResults":  "returns 2 values, want only an error",
		"OtherResult": "returns int, want error",
	}
	for _, skipped := range s.Skipped() {
		if skipped.Why != want[skipped.Name] {
			t.Errorf("%s, want %q", skipped, want[skipped.Name])
		}
		delete(want, skipped.Name)
	}
	if len(want) > 0 {
		t.Errorf("not skipped: %v", want)
	}
	served := names(s.Methods())
	if len(served) != 3 || served[0] != "Fits" || served[1] != "FitsAny" || served[2] != "FitsToo" {
		t.Errorf("served %v", served)
	}
}

// hooked has methods served by Unary or passed to OnReady and OnOptions, and others that are missed.
type hooked struct{ misfits }

func (hooked) Ping(context.Context) error                          { return nil }
func (hooked) Reconfigure(context.Context, limits) error           { return nil }
func (hooked) Served(context.Context, *pair) (*sum, error)         { return nil, nil }
func (hooked) Renamed(context.Context, *[]int) (*[]int, error)     { return nil, nil }
func (hooked) SameTypes(context.Context, *[]int) (*[]int, error)   { return nil, nil }
func (hooked) Forgotten(context.Context, *pair) (*[]string, error) { return nil, nil }
func (hooked) Close() error                                        { return nil }

func TestMethodsThatTakeAContextWereMeantToBeServed(t *testing.T) {
	r := New()
	Register("hooks", limits{}, openAdder, In(r))
	Plain(hooked{}, In(r), As("plain"))
	hooks, _ := r.Lookup("hooks")
	plain, _ := r.Lookup("plain")
	s := Receiver(hooked{})
	served := append(s.Methods(),
		unaryMethod[pair, sum]("Served", nil), unaryMethod[[]int, []int]("renamed", nil))
	missed := func(e *Entry) []string {
		var all []string
		for _, m := range e.Missed(served, s.Skipped()) {
			all = append(all, m.Name)
		}
		return all
	}
	want := []string{
		"Channel", "Forgotten", "Four", "Function", "Many", "NoResult", "OtherResult", "Pointers", "Reader", "ReplyValue",
		"SameTypes", "Two", "TwoResults", "Value", "Variadic",
	}
	if got := missed(hooks); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	want = append(want, "One", "Ping", "Reconfigure") // a plain value has no hooks
	slices.Sort(want)
	if got := missed(plain); !slices.Equal(got, want) {
		t.Errorf("a plain value: %v, want %v", got, want)
	}
}

func TestAReceiverWithoutASuitableMethodIsExplained(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{
		{nil, "receiver is nil"},
		{(*adder)(nil), "receiver is a nil *registry.adder"},
		{3, "int has no exported methods"},
		{inner{}, "registry.inner has no method of the form (context.Context, *Args, *Reply) error: " +
			"Close: takes no parameters, want context.Context, *Args, *Reply"},
	} {
		if err := Receiver(tt.v).err; err == nil || err.Error() != tt.want {
			t.Errorf("%T: %v, want %s", tt.v, err, tt.want)
		}
	}
}

func TestAnInterfaceDeclaresItsMethods(t *testing.T) {
	type api interface {
		Add(ctx context.Context, args *pair, reply *sum) error
		Ping() error
	}
	r := New()
	Register("x", limits{}, openAdder, In(r), Methods[api]())
	e, _ := r.Lookup("x")
	if got := names(e.Methods); len(got) != 1 || got[0] != "Add" {
		t.Errorf("methods %v", got)
	}
	if len(e.Skipped) != 1 || e.Skipped[0].Name != "Ping" {
		t.Errorf("skipped %v", e.Skipped)
	}
	if _, err := e.Open(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
}

func names(methods []*Method) []string {
	all := make([]string, len(methods))
	for i, m := range methods {
		all[i] = m.Name
	}
	return all
}
