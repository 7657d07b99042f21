package registry

import (
	"context"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxDepth is deeper than any plain data: anything deeper contains itself.
const maxDepth = 100

// clone returns a pointer to a deep copy of what v points to. Unexported fields are copied shallowly.
func clone(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type().Elem())
	c.Elem().Set(v.Elem())
	unshare(c.Elem(), maxDepth)
	return c
}

// unshare replaces each slice, map and pointer in v by a copy. Values that cannot be set are in unexported fields, which no
// decoder reaches.
func unshare(v reflect.Value, depth int) {
	if depth == 0 {
		panic("registry: the default options refer to themselves, want plain data")
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

// optionsOf returns the result of DecodeOptions, which is nil for an O without fields.
func optionsOf[O any](o any) *O {
	if typed, ok := o.(*O); ok {
		return typed
	}
	return new(O)
}

// onOptions returns the typed form of a function that OnOptions was given.
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

// checkFields rejects fields that a manifest cannot set, and tags that would be ignored. above has the structs around t.
func checkFields(t reflect.Type, above []reflect.Type) error {
	if slices.Contains(above, t) {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		inline := f.Type.Kind() == reflect.Struct && (options == "inline" || f.Anonymous && name == "")
		if name == "-" || !f.IsExported() && !inline {
			continue
		}
		element, err := elementType(f.Type)
		if err == nil {
			err = checkTags(element, f.Tag)
		}
		if err == nil && element.Kind() == reflect.Struct && !unmarshals(element) {
			err = checkFields(element, append(slices.Clip(above), t))
		}
		if err != nil {
			return fmt.Errorf("field %s: %w", f.Name, err)
		}
	}
	return nil
}

// elementType returns the type to which the tags of a field of type t apply: the element of a pointer, list or map.
func elementType(t reflect.Type) (reflect.Type, error) {
	for !unmarshals(t) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			t = t.Elem()
			continue
		case reflect.Chan, reflect.Func, reflect.Array, reflect.UnsafePointer, reflect.Uintptr, reflect.Complex64, reflect.Complex128:
		case reflect.Interface:
			if t.NumMethod() == 0 {
				return t, nil
			}
		default:
			return t, nil
		}
		return t, fmt.Errorf("a manifest cannot set a %v: unexport the field or tag it yaml:\"-\"", t)
	}
	return t, nil
}

func unmarshals(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func checkTags(t reflect.Type, tag reflect.StructTag) error {
	for _, key := range []string{"min", "max"} {
		text, ok := tag.Lookup(key)
		if !ok {
			continue
		}
		if err := checkBound(t, text); err != nil {
			return fmt.Errorf("tag %s:%q: %w", key, text, err)
		}
	}
	if enum, ok := tag.Lookup("enum"); ok && t.Kind() != reflect.String {
		return fmt.Errorf("tag enum:%q: the field is a %v, want a string", enum, t)
	}
	if required, ok := tag.Lookup("required"); ok && required != "true" && required != "false" {
		return fmt.Errorf("tag required:%q: want true or false", required)
	}
	return nil
}

func checkBound(t reflect.Type, text string) error {
	var err error
	switch {
	case t == reflect.TypeFor[time.Duration]():
		_, err = time.ParseDuration(text)
	case strings.HasSuffix(t.PkgPath(), "/easymicro/config"): // it has units of its own
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64, t.Kind() == reflect.Float32, t.Kind() == reflect.Float64:
		if _, err = strconv.ParseFloat(text, 64); err != nil {
			err = errors.New("not a number")
		}
	default:
		err = fmt.Errorf("the field is a %v, want a number or a duration", t)
	}
	return err
}
