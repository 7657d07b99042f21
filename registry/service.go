package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Service is an open instance of a handler: its methods, and what it wants to be told. An open function builds it and
// hands it over to the host; from then on it may be shared between goroutines.
type Service struct {
	methods []*Method
	skipped []Skipped
	err     error // the first mistake made while building it, told by Open

	closers   []func() error
	probes    []func(context.Context) error
	onOptions any // func(context.Context, O) error, checked by Open
	configure func(ctx context.Context, decode func(into any) error) error

	closing  sync.Once
	closed   chan struct{}
	closeErr error
}

// And adds the methods and hooks of others to s, and returns s. Two methods of one name are an error at Open.
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

// OnClose adds a function that is run once, when the last call of the instance is done. Of several the last added runs
// first.
func (s *Service) OnClose(fn func() error) *Service {
	if fn == nil {
		s.fail(errors.New("OnClose was given nil"))
		return s
	}
	s.closers = append(s.closers, fn)
	return s
}

// OnReady adds a function that says whether the instance can do its work: nil for yes. The host asks often and from
// several goroutines.
func (s *Service) OnReady(fn func(context.Context) error) *Service {
	if fn == nil {
		s.fail(errors.New("OnReady was given nil"))
		return s
	}
	s.probes = append(s.probes, fn)
	return s
}

// OnOptions sets the function that takes changed options while the instance runs: a func(context.Context, O) error with
// the O of Register; any other is an error at Open. It runs beside calls. An error means that nothing was changed.
// Without OnOptions changed options open a second instance, which takes over from the first.
func (s *Service) OnOptions(fn any) *Service {
	if s.onOptions != nil {
		s.fail(errors.New("OnOptions is set twice"))
	}
	s.onOptions = fn
	return s
}

// Methods lists the methods: those that Try gave an example for first, then by name.
func (s *Service) Methods() []*Method { return s.methods }

// Skipped lists the methods of receivers that are not served, and why.
func (s *Service) Skipped() []Skipped { return s.skipped }

func (s *Service) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// Close runs what OnClose was given, once for any number of calls. It returns its error, or that of ctx when it ends
// before; then the functions still run to their end.
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

// Ready asks what OnReady was given; nil when all are ready.
func (s *Service) Ready(ctx context.Context) error {
	for _, probe := range s.probes {
		if err := guarded(ctx, probe); err != nil {
			return err
		}
	}
	return nil
}

// Reconfigurable reports whether the instance takes changed options while it runs, by OnOptions.
func (s *Service) Reconfigurable() bool { return s.configure != nil }

// Reconfigure gives the instance options that decode fills into a copy of the defaults; nil means the defaults. handled
// is false when the instance has no OnOptions and must be replaced. With an error the instance runs on as it was.
func (s *Service) Reconfigure(ctx context.Context, decode func(into any) error) (handled bool, err error) {
	if s.configure == nil {
		return false, nil
	}
	return true, s.configure(ctx, decode)
}
