package registry

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire/code"
)

// Method is one method of a handler. It may be shared between goroutines.
type Method struct {
	Name  string
	Args  reflect.Type // what NewArgs points to
	Reply reflect.Type // what NewReply points to

	unary bool // served by Unary
	args  values
	reply values
	check struct{ args, reply bool }                              // which of them have a method Validate
	call  func(ctx context.Context, args, reply any) (any, error) // nil while the method is only declared
}

var errNotOpen = errors.New("the handler is not open")

// NewArgs returns a pointer to a zero argument, to decode a request into.
func (m *Method) NewArgs() any { return m.args.get() }

// NewReply returns a pointer to a zero reply, to decode a response into or to pass to Call.
func (m *Method) NewReply() any { return m.reply.get() }

// Release takes back the argument and the reply of a call that succeeded, each may be nil, for methods that declare Reuse.
// The caller must have encoded the reply.
func (m *Method) Release(args, reply any) {
	m.args.put(args)
	m.reply.put(reply)
}

// Example returns a value to encode as JSON that shows the shape of the method's argument, such as {"a":0,"b":0}.
func (m *Method) Example() any { return example(m.Args, nil) }

// Call runs the method and returns the reply to encode, a pointer of the type of NewReply. With an error, the reply is what
// the handler has filled in so far, or nil.
//
// args is a pointer of the type of NewArgs. reply is nil, or a pointer of the type of NewReply that a receiver's method
// may fill in and return. Both belong to the method until Call returns.
//
// An argument with a method Validate() error is validated before: what is wrong is an error with INVALID_ARGUMENT. If a reply has
// one, it is validated when the method has succeeded, and what is wrong is INTERNAL.
//
// A panic of the handler is returned as a *PanicError. runtime.Goexit ends the goroutine with its deferred functions: Call
// does not return then, but calls Goexit of the Call in ctx, if set.
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
	res, err = m.checkedCall(ctx, args, reply)
	returned = true
	return res, err
}

// checkedCall validates the argument, runs the method and validates its reply.
func (m *Method) checkedCall(ctx context.Context, args, reply any) (any, error) {
	if m.check.args {
		if err := invalid(args); err != nil {
			return nil, code.Errorf(code.InvalidArgument, "%w", err).WithReason("invalid_argument")
		}
	}
	res, err := m.call(ctx, args, reply)
	if err == nil && m.check.reply {
		if err := invalid(res); err != nil {
			return nil, code.Errorf(code.Internal, "the reply is not valid: %w", err).WithReason(code.ReasonBadReply)
		}
	}
	return res, err
}

// sortMethods sorts methods by name and rejects bad and duplicate names.
func sortMethods(methods []*Method) error {
	slices.SortFunc(methods, func(a, b *Method) int { return strings.Compare(a.Name, b.Name) })
	for i, m := range methods {
		if err := checkMethodName(m.Name); err != nil {
			return err
		}
		if i > 0 && methods[i-1].Name == m.Name {
			return fmt.Errorf("method %q exists twice", m.Name)
		}
	}
	return nil
}

func mismatch(got any, want reflect.Type) error { return fmt.Errorf("got a %T, want a *%v", got, want) }

func unaryMethod[Req, Res any](name string, fn func(context.Context, *Req) (*Res, error)) *Method {
	m := &Method{
		Name:  name,
		Args:  reflect.TypeFor[Req](),
		Reply: reflect.TypeFor[Res](),
		unary: true,
		args:  values{make: func() any { return new(Req) }},
		reply: values{make: func() any { return new(Res) }},
	}
	m.check.args, m.check.reply = validates(m.Args), validates(m.Reply)
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

// methodName allows no dot: Arith.Mul would be ambiguous.
var methodName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func checkMethodName(name string) error {
	if !methodName.MatchString(name) {
		return fmt.Errorf("method %q: want 1 to 64 characters of A-Z a-z 0-9 _ -", name)
	}
	return nil
}
