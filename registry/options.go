package registry

import (
	"context"
	"errors"
	"fmt"
	"reflect"
)

// maxDepth is deeper than any plain data; what goes beyond leads back to itself.
const maxDepth = 100

// clone is a pointer to a copy of what the pointer v leads to, which shares nothing with it that can be reached through
// exported fields.
func clone(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type().Elem())
	c.Elem().Set(v.Elem())
	unshare(c.Elem(), maxDepth)
	return c
}

// unshare replaces each slice, map and pointer in v by a copy. What cannot be set hides in an unexported field, where no
// decoder reaches it either.
func unshare(v reflect.Value, depth int) {
	if depth == 0 {
		panic("registry: defaults of options lead back to themselves, want plain data")
	}
	depth--
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			unshare(v.Field(i), depth)
		}
	case reflect.Array:
		unshareElements(v, depth)
	case reflect.Slice:
		if v.CanSet() && !v.IsNil() {
			c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
			reflect.Copy(c, v)
			unshareElements(c, depth)
			v.Set(c)
		}
	case reflect.Map:
		if v.CanSet() && !v.IsNil() {
			v.Set(copyMap(v, depth))
		}
	case reflect.Pointer:
		if v.CanSet() && !v.IsNil() {
			c := reflect.New(v.Type().Elem())
			c.Elem().Set(v.Elem())
			unshare(c.Elem(), depth)
			v.Set(c)
		}
	case reflect.Interface:
		if v.CanSet() && !v.IsNil() {
			v.Set(copyValue(v.Elem(), depth))
		}
	default: // is a value, or shared by promise
	}
}

func unshareElements(list reflect.Value, depth int) {
	for i := range list.Len() {
		unshare(list.Index(i), depth)
	}
}

func copyMap(m reflect.Value, depth int) reflect.Value {
	c := reflect.MakeMapWithSize(m.Type(), m.Len())
	for iter := m.MapRange(); iter.Next(); {
		c.SetMapIndex(iter.Key(), copyValue(iter.Value(), depth))
	}
	return c
}

func copyValue(v reflect.Value, depth int) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	unshare(c, depth)
	return c
}

// optionsOf takes what DecodeOptions returns, which is nil for an O without fields.
func optionsOf[O any](o any) *O {
	if typed, ok := o.(*O); ok {
		return typed
	}
	return new(O)
}

// onOptions is the typed form of what Service.OnOptions was given.
func onOptions[O any](hook any) (func(ctx context.Context, o any) error, error) {
	want, fn := reflect.TypeFor[func(context.Context, O) error](), reflect.ValueOf(hook)
	switch {
	case !fn.IsValid() || fn.Kind() == reflect.Func && fn.IsNil():
		return nil, errors.New("OnOptions was given nil")
	case !fn.CanConvert(want):
		return nil, fmt.Errorf("OnOptions was given a %v, want a %v", fn.Type(), want)
	}
	typed, _ := fn.Convert(want).Interface().(func(context.Context, O) error)
	return func(ctx context.Context, o any) error { return typed(ctx, *optionsOf[O](o)) }, nil
}
