package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand" //nolint:depguard // testing/quick takes it
	"reflect"
	"testing"
	"testing/quick"
)

// tape scripts and records a call of a method.
type tape struct {
	act  byte
	fill func(reply any)
	ctx  context.Context
	args any
}

var errTape = errors.New("from the handler")

// nilError is an error that is a nil pointer.
type nilError struct{}

func (*nilError) Error() string { return "typed nil" }

func (p *tape) play(ctx context.Context, args, reply any) error {
	p.ctx, p.args = ctx, reflect.ValueOf(args).Elem().Interface()
	p.fill(reply)
	switch p.act % 5 {
	case 1:
		return errTape
	case 2:
		panic(args)
	case 3:
		return (*nilError)(nil)
	case 4:
		var none map[string]int
		none[""] = 1 //nolint:govet,staticcheck // the panic is the point
	}
	return nil
}

// Receivers, with arguments and replies of any type.

type onPointer[A, R any] struct {
	Before [3]string
	*tape
}

func (s *onPointer[A, R]) Do(ctx context.Context, a *A, r *R) error { return s.play(ctx, a, r) }

type onValue[A, R any] struct {
	Before [100]int
	*tape
}

func (s onValue[A, R]) Do(ctx context.Context, a *A, r *R) error { return s.play(ctx, a, r) }

type onWord[A, R any] struct{ *tape }

func (s onWord[A, R]) Do(ctx context.Context, a *A, r *R) error { return s.play(ctx, a, r) }

type onFunc[A, R any] func() *tape

func (s onFunc[A, R]) Do(ctx context.Context, a *A, r *R) error { return s().play(ctx, a, r) }

type onMap[A, R any] map[string]*tape

func (s onMap[A, R]) Do(ctx context.Context, a *A, r *R) error { return s["tape"].play(ctx, a, r) }

type promotes[A, R any] struct {
	Before int
	onPointer[A, R]
}

type promotesPointer[A, R any] struct {
	Before string
	*onPointer[A, R]
}

type doing[A, R any] interface {
	Do(ctx context.Context, a *A, r *R) error
}

type promotesInterface[A, R any] struct {
	Before string
	doing[A, R]
}

type promotesTwice[A, R any] struct{ promotes[A, R] }

// shape makes receivers of all kinds with a method that takes an A and an R.
type shape struct {
	args, reply reflect.Type
	receivers   func(*tape) []any
}

func shapeOf[A, R any]() shape {
	return shape{reflect.TypeFor[A](), reflect.TypeFor[R](), func(p *tape) []any {
		return []any{
			&onPointer[A, R]{tape: p},
			onPointer[A, R]{tape: p},
			onValue[A, R]{tape: p},
			&onValue[A, R]{tape: p},
			onWord[A, R]{p},
			&onWord[A, R]{p}, onFunc[A, R](func() *tape { return p }),
			onMap[A, R]{"tape": p},
			&promotes[A, R]{onPointer: onPointer[A, R]{tape: p}},
			promotesPointer[A, R]{onPointer: &onPointer[A, R]{tape: p}},
			&promotesInterface[A, R]{doing: onWord[A, R]{p}},
			promotesTwice[A, R]{promotes[A, R]{onPointer: onPointer[A, R]{tape: p}}},
		}
	}}
}

type (
	record struct {
		A int8
		B string
		C []float64
		D map[string]uint16
		E *record
		F [3]bool
		G complex64
	}
	block            struct{ Words [64]uint64 }
	branching[T any] struct {
		Value       T
		Left, Right *branching[T]
	}
)

var shapes = []shape{
	shapeOf[record, record](), shapeOf[block, struct{}](), shapeOf[struct{}, block](), shapeOf[int, string](),
	shapeOf[string, []byte](), shapeOf[[]byte, float32](), shapeOf[map[string]int, []record](), shapeOf[[]string, map[int]block](),
	shapeOf[branching[string], branching[record]](), shapeOf[[7]int16, complex128](), shapeOf[bool, uint64](), shapeOf[float64, [1]*int](),
}

// outcome is the result of a call through an invoker.
type outcome struct {
	Saw, Reply       any
	Err, Panicked    string
	Args, SawContext bool // panicked with the arguments; saw the context
}

func outcomeOf(ctx context.Context, invoke invoker, p *tape, args, reply any) (o outcome) {
	defer func() {
		r := recover()
		if o.Args = r == args; r != nil && !o.Args {
			o.Panicked = fmt.Sprint(r)
		}
		o.Saw, o.Reply, o.SawContext = p.args, reply, p.ctx == ctx
	}()
	o.Err = fmt.Sprintf("%T", invoke(ctx, args, reply))
	return o
}

// FuzzInvokers calls methods of receivers, arguments and replies of many shapes by both kinds of invokers, which must agree.
func FuzzInvokers(f *testing.F) {
	for i := range shapes {
		for act := range byte(5) {
			f.Add(byte(i), byte(i)*7+act, act, int64(i)+int64(act)<<8)
		}
	}
	f.Fuzz(func(t *testing.T, shapeIndex, receiverIndex, act byte, seed int64) {
		s := shapes[int(shapeIndex)%len(shapes)]
		var outcomes [2]outcome
		for i, compile := range []func(fn, recv reflect.Value) invoker{compile, compileReflect} {
			random := rand.New(rand.NewSource(seed)) // the same values for both
			value := func(t reflect.Type) reflect.Value {
				v, _ := quick.Value(t, random)
				pointer := reflect.New(t)
				pointer.Elem().Set(v)
				return pointer
			}
			args, filled := value(s.args), value(s.reply)
			p := &tape{act: act, fill: func(reply any) { reflect.ValueOf(reply).Elem().Set(filled.Elem()) }}
			all := s.receivers(p)
			recv := reflect.ValueOf(all[int(receiverIndex)%len(all)])
			if recv.Kind() != reflect.Pointer {
				boxed := reflect.New(recv.Type())
				boxed.Elem().Set(recv)
				recv = boxed
			}
			method, ok := recv.Type().MethodByName("Do")
			if !ok {
				t.Fatalf("%v has no method", recv.Type())
			}
			ctx := WithCall(t.Context(), &Call{})
			outcomes[i] = outcomeOf(ctx, compile(method.Func, recv), p, args.Interface(), reflect.New(s.reply).Interface())
			if o, want := outcomes[i], args.Elem().Interface(); !reflect.DeepEqual(o.Saw, want) || !o.SawContext {
				t.Errorf("%v: saw %v, want %v; its context: %v", recv.Type(), o.Saw, want, o.SawContext)
			}
		}
		if !reflect.DeepEqual(outcomes[0], outcomes[1]) {
			t.Errorf("shape %v, %v: direct %+v\nby reflection %+v", s.args, s.reply, outcomes[0], outcomes[1])
		}
	})
}
