package registry

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sort"
)

// Method is one method of a handler. It may be shared between goroutines.
type Method struct {
	Name  string
	Args  reflect.Type // what NewArgs points to
	Reply reflect.Type // what NewReply points to

	unary    bool // served by Unary
	newArgs  func() any
	newReply func() any
	call     func(ctx context.Context, args, reply any) (any, error) // nil while the method is only declared
}

var errNotOpen = errors.New("the handler is not open")

// NewArgs is a pointer to a zero argument, to decode a request into.
func (m *Method) NewArgs() any { return m.newArgs() }

// NewReply is a pointer to a zero reply, to decode a response into or to pass to Call.
func (m *Method) NewReply() any { return m.newReply() }

// Call runs the method and returns the reply to encode, a pointer of the type of NewReply. Next to an error it is what the
// handler had filled by then; nil when there is none.
//
// args is a pointer of the type of NewArgs. reply is nil, or a pointer of the type of NewReply which a receiver's
// method may fill and return. Both are the method's until Call returns.
//
// A panic of the handler is returned as a *PanicError. runtime.Goexit cannot be stopped once it is called: the
// goroutine ends with its deferred functions, Call does not return, and Goexit of the call in ctx is told, if set.
func (m *Method) Call(ctx context.Context, args, reply any) (res any, err error) {
	if m.call == nil {
		return nil, fmt.Errorf("%s: %w", m.Name, errNotOpen)
	}
	returned := false
	defer func() {
		if !returned {
			res, err = nil, interrupted(ctx, recover())
		}
	}()
	res, err = m.call(ctx, args, reply)
	returned = true
	return res, err
}

func sortMethods(methods []*Method) {
	sort.Slice(methods, func(i, j int) bool { return methods[i].Name < methods[j].Name })
}

func mismatch(got any, want reflect.Type) error { return fmt.Errorf("got a %T, want a *%v", got, want) }

// Unary serves a typed function as the method name. A nil result without an error is sent as the zero Res. Services of
// several functions are put together with And.
func Unary[Req, Res any](name string, fn func(context.Context, *Req) (*Res, error)) *Service {
	s := &Service{methods: []*Method{unaryMethod(name, fn)}}
	if err := checkMethodName(name); err != nil {
		s.err = err
	}
	if fn == nil {
		s.err = fmt.Errorf("method %q: the function is nil", name)
	}
	return s
}

func unaryMethod[Req, Res any](name string, fn func(context.Context, *Req) (*Res, error)) *Method {
	m := &Method{
		Name:     name,
		Args:     reflect.TypeFor[Req](),
		Reply:    reflect.TypeFor[Res](),
		unary:    true,
		newArgs:  func() any { return new(Req) },
		newReply: func() any { return new(Res) },
	}
	if fn == nil {
		return m
	}
	m.call = func(ctx context.Context, args, _ any) (any, error) {
		req, ok := args.(*Req)
		if !ok {
			return nil, mismatch(args, m.Args)
		}
		res, err := fn(ctx, req)
		if res == nil {
			res = new(Res)
		}
		return res, err
	}
	return m
}
