package registry

import (
	"context"
	"fmt"
	"reflect"
)

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
