//go:build gc && !purego

package registry

import (
	"context"
	"reflect"
	"unsafe"
)

// compile returns the invoker of a method on recv, a pointer to the receiver. A call through it costs an indirect call and
// no allocation.
//
// Why this is sound: a func value is one word, whatever its type, so a variable of one func type can be read as one of
// another (the first pattern of unsafe.Pointer: same size, same layout). The function then runs with the arguments that it
// expects, because the gc compiler assigns arguments to registers and the stack by their shape alone
// (cmd/compile/abi-internal.md), and *T, *Args and *Reply have the shape of unsafe.Pointer: one word that the garbage
// collector follows. Arguments of a call through a func value always escape, so none points into a stack that moves.
// The function that bind returns (receiver.go) checks, before it calls the invoker, that args and reply have the types that
// fn takes. FuzzInvokers checks all of this against compileReflect, which other compilers and the build tag purego use.
func compile(fn, recv reflect.Value) func(ctx context.Context, args, reply any) error {
	variable := reflect.New(fn.Type())
	variable.Elem().Set(fn)
	call := *(*func(recv unsafe.Pointer, ctx context.Context, args, reply unsafe.Pointer) error)(variable.UnsafePointer())
	self := recv.UnsafePointer()
	return func(ctx context.Context, args, reply any) error {
		// Reflection reads one word of an interface here.
		return call(self, ctx, reflect.ValueOf(args).UnsafePointer(), reflect.ValueOf(reply).UnsafePointer())
	}
}
