package registry

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Receiver serves the methods of v that are of the net/rpc shape
//
//	func (v *T) Name(ctx context.Context, args *Args, reply *Reply) error
//
// where Args and Reply are any type that a codec can fill: a struct, a slice, a map; *[]byte takes raw payloads. The
// names may be unexported, except for the method's. Methods promoted from embedded types count. Other exported methods
// are skipped, with the reason (Service.Skipped).
//
// The reply is encoded when the method has returned, so nothing that it leads to may be written any longer: a map that is
// written meanwhile ends the process. A reply that leads back to itself, or is nested deeper than 1,000 values (JSON:
// 10,000), fails its call with INTERNAL and the reason bad_reply; types that encode themselves see to that themselves.
//
// v is best a pointer. Of any other value a copy is made and served through a pointer to it, so that methods of *T
// count as well. A nil v, and a v without any method that fits, is an error at Open.
func Receiver(v any) *Service {
	recv := reflect.ValueOf(v)
	switch {
	case v == nil:
		return &Service{err: errors.New("receiver is nil")}
	case recv.Kind() == reflect.Pointer && recv.IsNil():
		return &Service{err: fmt.Errorf("receiver is a nil %T", v)}
	case recv.Kind() != reflect.Pointer:
		boxed := reflect.New(recv.Type())
		boxed.Elem().Set(recv)
		recv = boxed
	}
	methods, skipped := methodsOf(recv.Type())
	if len(methods) == 0 {
		return &Service{err: noMethods(reflect.TypeOf(v), skipped)}
	}
	for _, m := range methods {
		method, _ := recv.Type().MethodByName(m.Name)
		m.call = bind(m, compile(method.Func, recv))
	}
	return &Service{methods: methods, skipped: skipped}
}

// bind makes the call of m by an invoker of its method.
func bind(m *Method, invoke invoker) func(ctx context.Context, args, reply any) (any, error) {
	argsType, replyType := reflect.PointerTo(m.Args), reflect.PointerTo(m.Reply)
	return func(ctx context.Context, args, reply any) (any, error) {
		if reply == nil {
			reply = m.newReply()
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

// methodsOf lists the methods of a receiver's type, unbound.
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
	return &Method{
		Name:     name,
		Args:     args,
		Reply:    reply,
		newArgs:  func() any { return reflect.New(args).Interface() },
		newReply: func() any { return reflect.New(reply).Interface() },
	}
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
