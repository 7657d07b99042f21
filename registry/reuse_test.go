package registry

import (
	"context"
	"strings"
	"testing"
)

// parcel has what a later call must not see.
type parcel struct {
	Text string
	List []int
	Sub  *parcel
}

// depot keeps its argument, which Reuse forbids.
type depot struct{ kept *parcel }

func (d *depot) Store(_ context.Context, args *parcel, reply *sum) error {
	d.kept, reply.C = args, len(args.Text)
	return nil
}

func (d *depot) Look(context.Context, *parcel, *sum) error { return nil }

// openDepot returns the methods of an opened depot.
func openDepot(t *testing.T, d *depot, opts ...Option) (*Service, error) {
	t.Helper()
	r := New()
	Plain(d, append(opts, As("depot"), In(r))...)
	e, _ := r.Lookup("depot")
	s, err := e.Open(t.Context(), nil, nil)
	if err == nil {
		t.Cleanup(func() { _ = s.Close(context.Background()) })
	}
	return s, err
}

func TestReuse(t *testing.T) {
	for _, tt := range []struct {
		name        string
		opts        []Option
		store, look bool // used again
	}{
		{"none", nil, false, false},
		{"all", []Option{Reuse()}, true, true},
		{"one", []Option{Reuse("Store")}, true, false},
		{"one and all", []Option{Reuse("Store"), Reuse()}, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := openDepot(t, new(depot), tt.opts...)
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]bool{"Store": tt.store, "Look": tt.look} {
				m := method(t, s, name)
				seen := make(map[any]bool)
				again := false
				for range 1000 { // a pool may drop values
					args, reply := m.NewArgs().(*parcel), m.NewReply().(*sum)
					if args.Text != "" || args.List != nil || args.Sub != nil || reply.C != 0 {
						t.Fatalf("%s: a call sees %+v and %+v of another", name, args, reply)
					}
					again = again || seen[args] && seen[reply]
					seen[args], seen[reply] = true, true
					*args, reply.C = parcel{"secret", []int{1}, &parcel{}}, 7
					m.Release(args, reply)
				}
				if want = want && !raceEnabled; again != want {
					t.Errorf("%s: used again %v, want %v", name, again, want)
				}
			}
		})
	}
}

func TestReuseOfAMethodThatDoesNotExistIsAnError(t *testing.T) {
	if _, err := openDepot(t, new(depot), Reuse("Stoer")); err == nil || !strings.Contains(err.Error(), "reuse of Stoer: the handler has no such method") {
		t.Error(err)
	}
}

func TestAnArgumentThatIsKeptIsNoticed(t *testing.T) {
	d := new(depot)
	s, err := openDepot(t, d, Reuse())
	if err != nil {
		t.Fatal(err)
	}
	m := method(t, s, "Store")
	args, ok := m.NewArgs().(*parcel)
	if !ok {
		t.Fatal("another type")
	}
	args.Text, args.Sub = "mine", &parcel{Text: "inside"}
	inside := args.Sub
	reply, err := m.Call(t.Context(), args, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Release(args, reply)
	want := ""
	if raceEnabled {
		want = spoiledText
	}
	if d.kept.Text != want {
		t.Errorf("the kept argument has %q, want %q", d.kept.Text, want)
	}
	if inside.Text != "inside" {
		t.Errorf("what it pointed to has %q", inside.Text)
	}
}

// The reply of a typed function is its own: it may be a constant.
func TestTheReplyOfAFunctionIsNotReused(t *testing.T) {
	constant := &sum{C: 42}
	s := Unary("Answer", func(context.Context, *parcel) (*sum, error) { return constant, nil })
	e := Entry{reuseAll: true}
	if err := e.setReuse(s.methods); err != nil {
		t.Fatal(err)
	}
	m := method(t, s, "Answer")
	args := m.NewArgs()
	reply, err := m.Call(t.Context(), args, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.Release(args, reply)
	if constant.C != 42 {
		t.Errorf("the constant is %d", constant.C)
	}
}
