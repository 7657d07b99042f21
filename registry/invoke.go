//go:build gc && !purego

package registry

import (
	"context"
	"reflect"
	"unsafe"
)

// compile makes the invoker of a method's function on recv, a pointer to the receiver. It costs an indirect call and no
// allocation.
//
// Why this is sound: a func value is one word, whatever its type, so a variable of one func type can be read as
// another (unsafe.Pointer's first pattern: same size, same layout). The function then runs with the arguments that it
// expects, because the calling convention of the gc compiler places an argument by its shape alone, and *T, *Args and
// *Reply have the shape of unsafe.Pointer: one word that the garbage collector follows. Every argument of a call
// through a func value is taken to escape, so no pointer into a stack gets lost. The invoker's caller has checked that
// args and reply are of the types that fn was made with. Other compilers get invoke_other.go.
func compile(fn, recv reflect.Value) invoker {
	variable := reflect.New(fn.Type())
	variable.Elem().Set(fn)
	call := *(*func(recv unsafe.Pointer, ctx context.Context, args, reply unsafe.Pointer) error)(variable.UnsafePointer())
	self := recv.UnsafePointer()
	return func(ctx context.Context, args, reply any) error {
		// Reflection here reads one word of an interface; it looks nothing up.
		return call(self, ctx, reflect.ValueOf(args).UnsafePointer(), reflect.ValueOf(reply).UnsafePointer())
	}
}
