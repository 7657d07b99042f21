package registry

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// Skipped is an exported method of a receiver that is not served.
type Skipped struct {
	Name string
	Why  string // such as: second parameter is Args, want a pointer

	in, out []reflect.Type // without the receiver
}

// String is "Name: why".
func (s Skipped) String() string { return s.Name + ": " + s.Why }

func skip(name, why string, t reflect.Type, receivers int) Skipped {
	s := Skipped{Name: name, Why: why, in: slices.Collect(t.Ins())[receivers:]}
	s.out = slices.Collect(t.Outs())
	return s
}

// fails reports whether the last of the results is an error, and there are n of them.
func (s Skipped) fails(n int) bool { return len(s.out) == n && s.out[n-1] == errorType }

// unary reports whether the method has the shape that Unary takes.
func (s Skipped) unary() bool {
	return len(s.in) == 2 && s.in[1].Kind() == reflect.Pointer && s.fails(2) && s.out[0].Kind() == reflect.Pointer
}

// servedAs reports whether m, which Unary serves, can be the method under another name.
func (s Skipped) servedAs(m *Method) bool {
	return s.unary() && m.Args == s.in[1].Elem() && m.Reply == s.out[0].Elem()
}

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
	case n == 2 && skip("", "", t, receivers).unary():
		return nil, nil, "takes 2 parameters, " + want + "; registry.Unary serves functions that return the reply"
	case n != 3:
		return nil, nil, fmt.Sprintf("takes %d parameters, %s", n, want)
	}
	var wrong []string
	if first := t.In(receivers); first != contextType {
		wrong = append(wrong, fmt.Sprintf("first parameter is %v, want context.Context", first))
	}
	args, reply = t.In(receivers+1), t.In(receivers+2)
	wrong = append(wrong, whyNotData("second", args), whyNotData("third", reply), whyNotError(t))
	wrong = slices.DeleteFunc(wrong, func(why string) bool { return why == "" })
	if len(wrong) > 0 {
		return nil, nil, strings.Join(wrong, "; ")
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
