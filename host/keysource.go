package host

import (
	"context"
	"fmt"

	"github.com/easymicro/easymicro/host/bearer"
)

const keyURLField = "auth.jwt.jwksURL"

// keySources follows the URL from which the keys of signed tokens come.
type keySources struct {
	*core
	stop context.CancelFunc // of what follows the source in force; nil: there is none
	done chan struct{}      // closed when it has ended
}

// plan fetches the keys of a source that has none. An edit without them is rejected; a start goes on.
func (p *keySources) plan(ctx context.Context, prev, next *generation) (step, error) {
	source := next.identity.signed.Source()
	s := &keyStep{of: p, next: source}
	if prev != nil {
		s.before = prev.identity.signed.Source()
	}
	if source == nil || source == s.before || source.State().Keys > 0 {
		return s, nil
	}
	_, err := source.Fetch(ctx)
	switch {
	case err == nil:
	case prev == nil:
		p.log.Warn("the keys of signed tokens cannot be fetched: calls with such a token get UNAVAILABLE (no_keys)",
			"url", source.State().URL, "error", err)
	default:
		return s, next.set.ProblemAt(keyURLField, fmt.Sprintf("%s delivers no keys: %s; callers with a signed token would be refused", source.State().URL, err))
	}
	return s, nil
}

// keyStep is the change of the source of keys.
type keyStep struct {
	of           *keySources
	before, next *bearer.Source
}

// Commit implements step.
func (s *keyStep) Commit(life context.Context) {
	if s.before == s.next {
		return
	}
	p := s.of
	ended := p.done
	if p.stop != nil {
		p.stop()
		p.stop, p.done = nil, nil
	}
	if s.next == nil {
		return
	}
	done := make(chan struct{})
	life, p.stop = context.WithCancel(life)
	p.done = done
	p.retiring.Go(func() {
		defer close(done)
		if ended != nil {
			<-ended
		}
		s.next.Follow(life, p.tell)
	})
}

// Abandon implements step.
func (*keyStep) Abandon() {}

// Retire implements step.
func (*keyStep) Retire(context.Context, <-chan struct{}) {}

// tell logs that the keys have changed, or that they can no longer, or again, be fetched.
func (p *keySources) tell(f bearer.Fetched) {
	if f.Err != nil {
		p.log.Warn("the keys of signed tokens cannot be fetched: the last ones stay in use", "url", f.URL, "keys", f.Keys, "fetched_at", f.At, "error", f.Err)
		return
	}
	p.log.Info("the keys of signed tokens were fetched", "url", f.URL, "keys", f.Keys)
}
