// Package timeout is a handler that takes its time, with and without regard to its deadline.
package timeout

import (
	"context"
	"sync"
	"time"

	"github.com/easymicro/easymicro/registry"
)

// Options of the handler.
type Options struct {
	Takes time.Duration `yaml:"takes" doc:"How long a report takes." min:"0s"`
}

func init() {
	registry.Register("timeout.reports", Options{Takes: time.Second}, open, registry.Methods[Reports]())
}

func open(_ context.Context, o Options, _ registry.Env) (*registry.Service, error) {
	return registry.Receiver(&Reports{takes: o.Takes}), nil
}

// None is no argument.
type None struct{}

// Count is how many reports there are.
type Count struct {
	Running  int `json:"running"`
	Finished int `json:"finished"`
	GivenUp  int `json:"given_up"`
}

// Reports makes reports.
type Reports struct {
	takes time.Duration

	mu    sync.Mutex
	count Count
	idle  chan struct{} // closed when none is being made any more; nil while none is
}

// Make looks at nothing but its work: its caller is answered at the deadline, and it goes on to the end.
func (r *Reports) Make(_ context.Context, _ *None, reply *Count) error {
	r.begin()
	defer r.end()
	<-time.After(r.takes)
	r.change(func(c *Count) { c.Finished++ })
	*reply = r.now()
	return nil
}

// Try stops as soon as nobody waits for its answer any more, as handlers should.
func (r *Reports) Try(ctx context.Context, _ *None, reply *Count) error {
	r.begin()
	defer r.end()
	select {
	case <-time.After(r.takes):
		r.change(func(c *Count) { c.Finished++ })
	case <-ctx.Done():
		r.change(func(c *Count) { c.GivenUp++ })
		return ctx.Err()
	}
	*reply = r.now()
	return nil
}

// Count tells how many reports are being made, and what became of the others.
func (r *Reports) Count(_ context.Context, _ *None, reply *Count) error {
	*reply = r.now()
	return nil
}

// Wait answers when no report is being made.
func (r *Reports) Wait(_ context.Context, _ *None, reply *Count) error {
	if idle := r.running(); idle != nil {
		<-idle
	}
	*reply = r.now()
	return nil
}

func (r *Reports) begin() {
	r.change(func(c *Count) {
		c.Running++
		if r.idle == nil {
			r.idle = make(chan struct{})
		}
	})
}

func (r *Reports) end() {
	r.change(func(c *Count) {
		c.Running--
		if c.Running == 0 {
			close(r.idle)
			r.idle = nil
		}
	})
}

func (r *Reports) running() (idle <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.idle
}

func (r *Reports) change(f func(*Count)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.count)
}

func (r *Reports) now() Count {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}
