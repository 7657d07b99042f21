package registry

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// bind returns the call of m through an invoker of its method. It checks the types on which the invoker relies.
func bind(m *Method, invoke invoker) func(ctx context.Context, args, reply any) (any, error) {
	argsType, replyType := reflect.PointerTo(m.Args), reflect.PointerTo(m.Reply)
	return func(ctx context.Context, args, reply any) (any, error) {
		if reply == nil {
			reply = m.NewReply()
		}
		if reflect.TypeOf(args) != argsType {
			return nil, mismatch(args, m.Args)
		}
		if reflect.TypeOf(reply) != replyType {
			return nil, mismatch(reply, m.Reply)
		}
		return reply, invoke(ctx, args, reply)
	}
}

// invoker calls one method of one receiver. args and reply have the pointer types that the method takes.
type invoker = func(ctx context.Context, args, reply any) error

// reflectArgs are the arguments of one call by reflection.
type reflectArgs struct {
	ctx    context.Context //nolint:containedctx // it is an argument
	values [4]reflect.Value
}

// compileReflect is compile without package unsafe.
func compileReflect(fn, recv reflect.Value) invoker {
	pool := sync.Pool{New: func() any {
		a := &reflectArgs{}
		a.values[0], a.values[1] = recv, reflect.ValueOf(&a.ctx).Elem() // a nil ctx has no reflect.Value of its own
		return a
	}}
	return func(ctx context.Context, args, reply any) error {
		a, _ := pool.Get().(*reflectArgs)
		a.ctx, a.values[2], a.values[3] = ctx, reflect.ValueOf(args), reflect.ValueOf(reply)
		out := fn.Call(a.values[:])
		a.ctx, a.values[2], a.values[3] = nil, reflect.Value{}, reflect.Value{}
		pool.Put(a)
		err, _ := out[0].Interface().(error)
		return err
	}
}

// methodsOf returns the methods of a receiver's type, unbound.
func methodsOf(t reflect.Type) (methods []*Method, skipped []Skipped) {
	receiver := 1
	switch t.Kind() {
	case reflect.Interface:
		receiver = 0 // a method of an interface has none
	case reflect.Pointer:
	default:
		t = reflect.PointerTo(t)
	}
	for i := range t.NumMethod() {
		method := t.Method(i)
		if method.PkgPath != "" {
			continue // an unexported method of an interface
		}
		args, reply, why := signature(method.Type, receiver)
		if why != "" {
			skipped = append(skipped, skip(method.Name, why, method.Type, receiver))
			continue
		}
		methods = append(methods, reflectMethod(method.Name, args, reply))
	}
	return methods, skipped
}

func reflectMethod(name string, args, reply reflect.Type) *Method {
	m := &Method{
		Name:  name,
		Args:  args,
		Reply: reply,
		args:  values{make: func() any { return reflect.New(args).Interface() }},
		reply: values{make: func() any { return reflect.New(reply).Interface() }},
	}
	m.check.args, m.check.reply = validates(args), validates(reply)
	return m
}

func noMethods(t reflect.Type, skipped []Skipped) error {
	if len(skipped) == 0 {
		return fmt.Errorf("%v has no exported methods", t)
	}
	why := make([]string, len(skipped))
	for i, s := range skipped {
		why[i] = s.String()
	}
	return fmt.Errorf("%v has no method of the form (context.Context, *Args, *Reply) error: %s", t, strings.Join(why, "; "))
}

var (
	contextType = reflect.TypeFor[context.Context]()
	errorType   = reflect.TypeFor[error]()
)

// Skipped is an exported method of a receiver that is not served, and why.
type Skipped struct {
	Name string
	Why  string // such as: second parameter is Args, want a pointer

	in, out []reflect.Type // without the receiver
}

// String returns "Name: why".
func (s Skipped) String() string { return s.Name + ": " + s.Why }

func skip(name, why string, t reflect.Type, receivers int) Skipped {
	return Skipped{Name: name, Why: why, in: slices.Collect(t.Ins())[receivers:], out: slices.Collect(t.Outs())}
}

// fails reports whether the method has n results, the last an error.
func (s Skipped) fails(n int) bool { return len(s.out) == n && s.out[n-1] == errorType }

// unary reports whether the method has the shape that Unary takes.
func (s Skipped) unary() bool {
	return len(s.in) == 2 && s.in[1].Kind() == reflect.Pointer && s.fails(2) && s.out[0].Kind() == reflect.Pointer
}

// servedAs reports whether m, which Unary serves, can be the method under another name.
func (s Skipped) servedAs(m *Method) bool {
	return s.unary() && m.Args == s.in[1].Elem() && m.Reply == s.out[0].Elem()
}

// signature returns the argument and reply types of a method (context.Context, *Args, *Reply) error, after the given number
// of receivers. why is the reason if the method does not have this shape.
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
