package registry

import (
	"context"
	"reflect"
	"testing"
)

type doubler struct{}

func (*doubler) Double(_ context.Context, args *pair, reply *pair) error {
	reply.A, reply.B = 2*args.A, 2*args.B
	return nil
}

func doublePair(_ context.Context, args *pair) (*pair, error) { return args, nil }

func BenchmarkMethodCall(b *testing.B) {
	receiver, typed := Receiver(&doubler{}).Methods()[0], Unary("Double", doublePair).Methods()[0]
	ctx, args := context.Background(), &pair{1, 2}
	b.Run("receiver", func(b *testing.B) {
		b.ReportAllocs()
		reply := &pair{}
		for b.Loop() {
			_, _ = receiver.Call(ctx, args, reply)
		}
	})
	b.Run("typed", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = typed.Call(ctx, args, nil)
		}
	})
	b.Run("reflect", func(b *testing.B) { // the cost of the receiver's call by reflection
		b.ReportAllocs()
		v := reflect.ValueOf(&doubler{})
		m, _ := v.Type().MethodByName("Double")
		invoke, reply := compileReflect(m.Func, v), &pair{}
		for b.Loop() {
			_ = invoke(ctx, args, reply)
		}
	})
	b.Run("new args", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = receiver.NewArgs()
		}
	})
}
