package registry

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
)

// Service is an open instance of a handler: its methods and hooks. An open function builds it; once returned, it may be
// shared between goroutines.
type Service struct {
	methods []*Method
	skipped []Skipped
	err     error // the first mistake made while building it, returned by Open

	intercept func(context.Context, *Invocation, Next) error // nil for a handler
	name      string                                         // of the interceptor

	closers   []func() error
	probes    []func(context.Context) error
	onOptions any // func(context.Context, O) error, checked by Open
	configure func(ctx context.Context, decode func(into any) error) error

	closing  sync.Once
	closed   chan struct{}
	closeErr error
}

// Receiver serves the methods of v that have the shape of net/rpc
//
//	func (v *T) Name(ctx context.Context, args *Args, reply *Reply) error
//
// where Args and Reply are any types that a codec can fill: structs, slices, maps; *[]byte takes raw payloads. Only the
// method's name must be exported. Methods promoted from embedded types count. Other exported methods are skipped; see
// Service.Skipped.
//
// The reply is encoded after the method has returned. Nothing reachable from it may be written after that: a concurrent map
// write crashes the process. A reply that contains itself, or is nested deeper than 1,000 values (JSON: 10,000), fails its
// call with INTERNAL and the reason bad_reply, unless its type encodes itself.
//
// v should be a pointer. Any other value is copied and served through a pointer to the copy, so that methods of *T count,
// too. A nil v, or one without a suitable method, is an error at Open.
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

// Unary serves a typed function as the method called name. A nil result without an error is sent as the zero Res. And
// combines the services of several functions.
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

// And adds the methods and hooks of others to s, and returns s. Two methods with the same name are an error at Open.
func (s *Service) And(others ...*Service) *Service {
	for _, o := range others {
		if o == nil {
			s.fail(errors.New("And was given a nil service"))
			continue
		}
		s.fail(o.err)
		s.methods = append(s.methods, o.methods...)
		s.skipped = append(s.skipped, o.skipped...)
		s.closers = append(s.closers, o.closers...)
		s.probes = append(s.probes, o.probes...)
		if o.onOptions != nil {
			s.OnOptions(o.onOptions)
		}
	}
	return s
}

// OnClose adds a function that runs once, after the last call of the instance has ended. The last added runs first.
func (s *Service) OnClose(fn func() error) *Service {
	if fn == nil {
		s.fail(errors.New("OnClose was given nil"))
		return s
	}
	s.closers = append(s.closers, fn)
	return s
}

// OnReady adds a function that returns nil if the instance can do its work, or else the reason why not. The host calls it
// often and from several goroutines.
func (s *Service) OnReady(fn func(context.Context) error) *Service {
	if fn == nil {
		s.fail(errors.New("OnReady was given nil"))
		return s
	}
	s.probes = append(s.probes, fn)
	return s
}

// OnOptions sets the function that applies changed options to the running instance: a func(context.Context, O) error with
// the O of Register; any other type is an error at Open. Calls run concurrently with it. An error means that nothing has
// changed. Without OnOptions, changed options open a new instance, which replaces the old one.
func (s *Service) OnOptions(fn any) *Service {
	if s.onOptions != nil {
		s.fail(errors.New("OnOptions is set twice"))
	}
	s.onOptions = fn
	return s
}

// Methods returns the methods: those with an Example first, then by name.
func (s *Service) Methods() []*Method { return s.methods }

// Skipped returns the methods of receivers that are not served.
func (s *Service) Skipped() []Skipped { return s.skipped }

func (s *Service) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// Close runs the functions added by OnClose, once however often it is called. It returns their errors, or the error of ctx
// if that ends first; the functions run to completion in any case.
func (s *Service) Close(ctx context.Context) error {
	if len(s.closers) == 0 {
		return nil
	}
	s.closing.Do(func() {
		s.closed = make(chan struct{})
		go s.close(context.WithoutCancel(ctx))
	})
	select {
	case <-s.closed:
		return s.closeErr
	case <-ctx.Done():
		return fmt.Errorf("close: %w", context.Cause(ctx))
	}
}

func (s *Service) close(ctx context.Context) {
	defer close(s.closed)
	var errs []error
	for i := len(s.closers) - 1; i >= 0; i-- {
		errs = append(errs, guarded(ctx, func(context.Context) error { return s.closers[i]() }))
	}
	s.closeErr = errors.Join(errs...)
}

// Probed reports whether the instance has an OnReady function.
func (s *Service) Probed() bool { return len(s.probes) > 0 }

// Ready runs the functions added by OnReady and returns the first error.
func (s *Service) Ready(ctx context.Context) error {
	for _, probe := range s.probes {
		if err := guarded(ctx, probe); err != nil {
			return err
		}
	}
	return nil
}

// Reconfigurable reports whether the instance has an OnOptions function.
func (s *Service) Reconfigurable() bool { return s.configure != nil }

// Reconfigure applies the options that decode fills into a copy of the defaults; a nil decode leaves the defaults. handled
// is false if the instance has no OnOptions and must be replaced. After an error the instance is unchanged.
func (s *Service) Reconfigure(ctx context.Context, decode func(into any) error) (handled bool, err error) {
	if s.configure == nil {
		return false, nil
	}
	return true, s.configure(ctx, decode)
}

// Intercept runs the interceptor around next. A panic is returned as a *PanicError. When Intercept returns, next is not running
// and cannot be called any more.
func (s *Service) Intercept(ctx context.Context, call *Invocation, next Next) (err error) {
	var mu sync.Mutex // held while next runs
	ended, returned := false, false
	defer func() {
		if !returned {
			p := interrupted(ctx, recover())
			p.Interceptor = s.name
			err = p
		}
		mu.Lock()
		ended = true
		mu.Unlock()
	}()
	err = s.intercept(ctx, call, func(ctx context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if ended {
			return errNextTooLate
		}
		return next(ctx)
	})
	returned = true
	return err
}
