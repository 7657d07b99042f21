package host

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/easymicro/easymicro/registry"
)

const (
	readyFor  = time.Second     // an answer of a handler counts that long
	readyWait = 2 * time.Second // a handler that has not answered by then is not ready
)

var errNoAnswer = errors.New("the handler does not say whether it is ready")

// readiness is what a handler said last of its being ready. It is asked once at a time, however many want to know.
type readiness struct {
	mu     sync.Mutex
	asked  chan struct{} // closed when the answer has come; nil before the first
	expiry time.Time     // of the answer; zero until it has come
	err    error
}

// ask is nil when the service is ready.
func (r *readiness) ask(ctx context.Context, s *registry.Service) error {
	r.mu.Lock()
	answered := r.asked
	if answered == nil || !r.expiry.IsZero() && time.Now().After(r.expiry) {
		answered = make(chan struct{})
		r.asked, r.expiry = answered, time.Time{}
		go r.answer(context.WithoutCancel(ctx), s, answered)
	}
	r.mu.Unlock()
	wait, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	select {
	case <-answered:
	case <-wait.Done():
		return errNoAnswer
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

func (r *readiness) answer(ctx context.Context, s *registry.Service, answered chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	err := s.Ready(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err, r.expiry = err, time.Now().Add(readyFor)
	close(answered)
}

// ready asks all services at once; an error in place of one says why it is not.
func (g *generation) ready(ctx context.Context) []error {
	answers := make([]error, len(g.services))
	var all sync.WaitGroup
	for i, s := range g.services {
		all.Go(func() { answers[i] = s.instance.ready.ask(ctx, s.instance.service) })
	}
	all.Wait()
	return answers
}
