// Package timeout provides a slow handler, with a method that respects its deadline and one that does not.
package timeout

import (
	"context"
	"sync"
	"time"

	"github.com/easymicro/easymicro/registry"
)

// Options of the handler.
type Options struct {
	Takes time.Duration `yaml:"takes" doc:"Time that a report takes." min:"0s"`
}

func init() {
	registry.Register("timeout.reports", Options{Takes: time.Second}, open, registry.Methods[Reports]())
}

func open(_ context.Context, o Options, _ registry.Env) (*registry.Service, error) {
	return registry.Receiver(&Reports{takes: o.Takes}), nil
}

// None is an empty argument.
type None struct{}

// Count counts the reports.
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
	idle  chan struct{} // closed when the last running report ends; nil while none runs
}

// Make ignores its deadline: the caller is answered at the deadline, while the work continues.
func (r *Reports) Make(_ context.Context, _ *None, reply *Count) error {
	r.begin()
	defer r.end()
	<-time.After(r.takes)
	r.change(func(c *Count) { c.Finished++ })
	*reply = r.now()
	return nil
}

// Try stops when its context ends, as a handler should.
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

// Count returns the numbers of running, finished and abandoned reports.
func (r *Reports) Count(_ context.Context, _ *None, reply *Count) error {
	*reply = r.now()
	return nil
}

// Wait returns when no report is running.
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
