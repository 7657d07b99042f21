package code

import (
	"fmt"
	"reflect"
)

const maxPanicText = 4 << 10

// PanicText returns the text of a value that was passed to panic, at most 4 KiB of it: of errors, Stringers and values of
// basic kinds. Of others it is the type, since values may contain themselves, and printing such ends the process.
func PanicText(v any) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("%T, whose text cannot be had: its method panics", v)
		}
	}()
	switch v := v.(type) {
	case error:
		return Clip(v.Error(), maxPanicText)
	case fmt.Stringer:
		return Clip(v.String(), maxPanicText)
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.String:
		return Clip(r.String(), maxPanicText)
	case reflect.Array, reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice,
		reflect.Struct, reflect.UnsafePointer:
		return fmt.Sprintf("%T", v)
	default:
		return fmt.Sprint(v)
	}
}
