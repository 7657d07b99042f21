package registry

import (
	"context"
	"reflect"
)

// invoker calls one method of one receiver. args and reply are of the pointer types that the method declares.
type invoker func(ctx context.Context, args, reply any) error

// compileReflect is compile for compilers whose calling convention is not known, and the yardstick for its tests.
func compileReflect(fn, recv reflect.Value) invoker {
	return func(ctx context.Context, args, reply any) error {
		// The zero Value of a nil ctx would make Call panic.
		in := []reflect.Value{recv, reflect.New(contextType).Elem(), reflect.ValueOf(args), reflect.ValueOf(reply)}
		if ctx != nil {
			in[1] = reflect.ValueOf(ctx)
		}
		err, _ := fn.Call(in)[0].Interface().(error)
		return err
	}
}
