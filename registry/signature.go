package registry

import (
	"context"
	"fmt"
	"reflect"
)

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// Skipped is an exported method of a receiver that is not served.
type Skipped struct {
	Name string
	Why  string // such as: second parameter is Args, want a pointer
}

// String is "Name: why".
func (s Skipped) String() string { return s.Name + ": " + s.Why }

// signature takes (context.Context, *Args, *Reply) error apart, behind the given number of receivers. Otherwise why
// says what is in the way, in the words of who wrote the method.
func signature(t reflect.Type, receivers int) (args, reply reflect.Type, why string) {
	const want = "want context.Context, *Args, *Reply"
	n := t.NumIn() - receivers
	switch {
	case n == 0:
		return nil, nil, "takes no parameters, " + want
	case t.IsVariadic():
		return nil, nil, "takes a variable number of parameters, " + want
	case n == 1:
		return nil, nil, "takes 1 parameter, " + want
	case n != 3:
		return nil, nil, fmt.Sprintf("takes %d parameters, %s", n, want)
	}
	if first := t.In(receivers); first != contextType {
		return nil, nil, fmt.Sprintf("first parameter is %v, want context.Context", first)
	}
	args, reply = t.In(receivers+1), t.In(receivers+2)
	if why := whyNotData("second", args); why != "" {
		return nil, nil, why
	}
	if why := whyNotData("third", reply); why != "" {
		return nil, nil, why
	}
	if why := whyNotError(t); why != "" {
		return nil, nil, why
	}
	return args.Elem(), reply.Elem(), ""
}

func whyNotData(which string, t reflect.Type) string {
	if t.Kind() != reflect.Pointer {
		return fmt.Sprintf("%s parameter is %v, want a pointer", which, t)
	}
	elem := t.Elem()
	switch elem.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return fmt.Sprintf("%s parameter is %v, which no codec can carry", which, t)
	case reflect.Pointer:
		return fmt.Sprintf("%s parameter is %v, want a pointer to a value", which, t)
	case reflect.Interface:
		if elem.NumMethod() > 0 {
			return fmt.Sprintf("%s parameter is %v, want a pointer to a concrete type", which, t)
		}
	default:
	}
	return ""
}

func whyNotError(t reflect.Type) string {
	switch {
	case t.NumOut() == 0:
		return "returns nothing, want error"
	case t.NumOut() > 1:
		return fmt.Sprintf("returns %d values, want only an error", t.NumOut())
	case t.Out(0) != errorType:
		return fmt.Sprintf("returns %v, want error", t.Out(0))
	}
	return ""
}
