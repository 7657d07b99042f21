//go:build gc && !purego

package registry

import (
	"context"
	"reflect"
	"unsafe"
)

// invoker is a method func(*T, context.Context, *Args, *Reply) error with its pointers' types forgotten.
type invoker func(recv unsafe.Pointer, ctx context.Context, args, reply unsafe.Pointer) error

// compile turns the function of a method into an invoker.
//
// Why this is sound: a func value is one word, whatever its type, so a variable of one func type can be read as
// another (unsafe.Pointer's first pattern: same size, same layout). The function then runs with the arguments it
// expects, because the calling convention of the gc compiler places an argument by its shape alone, and *T, *Args and
// *Reply have the shape of unsafe.Pointer: one word that the garbage collector follows. Every argument of a call
// through a func value is taken to escape, so no pointer into a stack gets lost. The types of args and reply are checked
// by the caller, against the very types that fn was made with. Other compilers get invoke_reflect.go.
func compile(fn reflect.Value) invoker {
	variable := reflect.New(fn.Type())
	variable.Elem().Set(fn)
	return *(*invoker)(variable.UnsafePointer())
}

// bind makes the call of m on recv, a pointer to the receiver. It allocates nothing but a missing reply.
func bind(m *Method, recv, fn reflect.Value) func(ctx context.Context, args, reply any) (any, error) {
	invoke, self := compile(fn), recv.UnsafePointer()
	argsType, replyType := reflect.PointerTo(m.Args), reflect.PointerTo(m.Reply)
	return func(ctx context.Context, args, reply any) (any, error) {
		if reply == nil {
			reply = m.newReply()
		}
		if reflect.TypeOf(args) != argsType {
			return nil, mismatch(args, m.Args)
		}
		if reflect.TypeOf(reply) != replyType {
			return nil, mismatch(reply, m.Reply)
		}
		// These two calls of reflect read one word each.
		a, r := reflect.ValueOf(args).UnsafePointer(), reflect.ValueOf(reply).UnsafePointer()
		if err := invoke(self, ctx, a, r); err != nil {
			return nil, err
		}
		return reply, nil
	}
}
