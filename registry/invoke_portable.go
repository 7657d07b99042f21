//go:build !gc || purego

package registry

import "reflect"

func compile(fn, recv reflect.Value) invoker { return compileReflect(fn, recv) }
