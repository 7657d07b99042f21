//go:build gc && !purego

package registry

import "testing"

func TestACallAllocatesNothingButItsReply(t *testing.T) {
	receiver := method(t, Receiver(&adder{}), "Add")
	typed := method(t, Unary("Double", doublePair), "Double")
	ctx, args, reply := t.Context(), receiver.NewArgs(), receiver.NewReply()
	for _, tt := range []struct {
		name string
		want float64
		call func() (any, error)
	}{
		{"receiver, reply given", 0, func() (any, error) { return receiver.Call(ctx, args, reply) }},
		{"receiver, reply made", 1, func() (any, error) { return receiver.Call(ctx, args, nil) }},
		{"typed function", 0, func() (any, error) { return typed.Call(ctx, args, nil) }},
		{"arguments", 1, func() (any, error) { return receiver.NewArgs(), nil }},
	} {
		if got := testing.AllocsPerRun(100, func() {
			if _, err := tt.call(); err != nil {
				t.Error(err)
			}
		}); got != tt.want {
			t.Errorf("%s: %v allocations, want %v", tt.name, got, tt.want)
		}
	}
}
