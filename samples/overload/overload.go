// Package overload provides a shop whose handlers have a capacity: one computes, the other waits for a connection to a database.
package overload

import (
	"context"
	"time"

	"github.com/easymicro/easymicro/registry"
)

// Options of the handler.
type Options struct {
	Computes    time.Duration `yaml:"computes" doc:"CPU time of a price." min:"0s" max:"1s"`
	Connections int           `yaml:"connections" doc:"Connections to the database." min:"1" max:"1000"`
	Takes       time.Duration `yaml:"takes" doc:"Time that an order has a connection." min:"0s"`
}

func init() {
	defaults := Options{Computes: time.Millisecond, Connections: 4, Takes: 5 * time.Millisecond}
	registry.Register("overload.shop", defaults, open, registry.Methods[Shop]())
}

func open(_ context.Context, o Options, _ registry.Env) (*registry.Service, error) {
	return registry.Receiver(New(o)), nil
}

// None is an empty argument.
type None struct{}

// Sum is a price.
type Sum struct {
	Cents int `json:"cents"`
}

// Shop has prices and takes orders.
type Shop struct {
	steps       int // of a computation
	takes       time.Duration
	connections chan struct{} // holds one for each in use
}

// New returns a shop. It measures how long a computation takes.
func New(o Options) *Shop {
	return &Shop{steps: stepsOf(o.Computes), takes: o.Takes, connections: make(chan struct{}, o.Connections)}
}

// Price computes.
func (s *Shop) Price(_ context.Context, _ *None, reply *Sum) error {
	reply.Cents = 100 + compute(s.steps)
	return nil
}

// Order waits for a connection to the database, and has it for a while.
func (s *Shop) Order(ctx context.Context, _ *None, reply *Sum) error {
	select {
	case s.connections <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.connections }()
	timer := time.NewTimer(s.takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	reply.Cents = 100
	return nil
}

// stepsOf returns how many steps of a computation take d.
func stepsOf(d time.Duration) int {
	const measured, tries = 100_000, 5
	least := time.Hour
	for range tries { // the least disturbed counts
		begin := time.Now()
		_ = compute(measured)
		least = min(least, time.Since(begin))
	}
	return int(float64(measured) * float64(d) / float64(max(least, 1)))
}

// compute takes time that is proportional to steps. It returns 0 or 1.
//
//go:noinline
func compute(steps int) int {
	x := uint64(88172645463325252)
	for range steps {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return int(x & 1)
}
