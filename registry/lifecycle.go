package registry

import (
	"context"
	"errors"
	"fmt"
)

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
