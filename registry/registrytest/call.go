package registrytest

import (
	"context"
	"errors"
	"reflect"
	"strings"

	"github.com/easymicro/easymicro/registry"
)

// Call calls a method of the handler. args is a value of the method's argument or a pointer to one; Res is its reply. It
// ends the test when there is no such method or its types are others; all that the method does is returned, a panic as a
// *registry.PanicError with its stack in the test's log.
//
// Metadata and a caller go into ctx with registry.WithCall, and reply metadata comes out of its Call; without, the caller
// is "anonymous".
func Call[Res any](ctx context.Context, h *Handler, method string, args any) (*Res, error) {
	h.tb.Helper()
	m := h.method(method)
	if want := reflect.TypeFor[Res](); m.Reply != want {
		h.tb.Fatalf("%s.%s replies with %v, not %v", h.name, method, m.Reply, want)
	}
	if registry.CallFrom(ctx) == nil {
		ctx = registry.WithCall(ctx, &registry.Call{Service: h.name, Method: method, Caller: "anonymous"})
	}
	res, err := m.Call(ctx, h.argument(m, args), nil)
	var panicked *registry.PanicError
	if errors.As(err, &panicked) {
		h.tb.Logf("%s.%s: %v\n%s", h.name, method, panicked, panicked.Stack)
	}
	if err != nil {
		return nil, err
	}
	typed, ok := res.(*Res)
	if !ok {
		h.tb.Fatalf("%s.%s replied with %T, not *%v", h.name, method, res, m.Reply)
	}
	return typed, nil
}

func (h *Handler) method(name string) *registry.Method {
	h.tb.Helper()
	methods := h.Service.Methods()
	names := make([]string, len(methods))
	for i, m := range methods {
		if m.Name == name {
			return m
		}
		names[i] = m.Name
	}
	h.tb.Fatalf("%s has no method %q, but %s", h.name, name, strings.Join(names, ", "))
	return nil
}

func (h *Handler) argument(m *registry.Method, args any) any {
	h.tb.Helper()
	switch v := reflect.ValueOf(args); {
	case !v.IsValid():
	case v.Type() == reflect.PointerTo(m.Args):
		return args
	case v.Type() == m.Args:
		p := m.NewArgs()
		reflect.ValueOf(p).Elem().Set(v)
		return p
	}
	h.tb.Fatalf("%s.%s takes %v, not %T", h.name, m.Name, m.Args, args)
	return nil
}
