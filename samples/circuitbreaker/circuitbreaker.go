// Package circuitbreaker provides a handler that can be made to fail.
package circuitbreaker

import (
	"context"
	"sync/atomic"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
)

func init() {
	registry.Register("circuitbreaker.stock", struct{}{}, open, registry.Methods[Stock]())
}

func open(context.Context, struct{}, registry.Env) (*registry.Service, error) {
	return registry.Receiver(new(Stock)), nil
}

// Item names a product.
type Item struct {
	Name string `json:"name"`
}

// Level is the number of items left.
type Level struct {
	Left int64 `json:"left"`
}

// Warehouse is the state of the warehouse.
type Warehouse struct {
	Down bool `json:"down"`
}

// Stock depends on a warehouse that may be down.
type Stock struct {
	down  atomic.Bool
	asked atomic.Int64
}

// Reserve removes one item. While the warehouse is down it fails with a code that breakers count.
func (s *Stock) Reserve(_ context.Context, _ *Item, level *Level) error {
	asked := s.asked.Add(1)
	if s.down.Load() {
		return code.Errorf(code.Unavailable, "the warehouse does not answer")
	}
	level.Left = 1_000_000 - asked
	return nil
}

// Warehouse takes the warehouse down, or brings it up again.
func (s *Stock) Warehouse(_ context.Context, want, now *Warehouse) error {
	s.down.Store(want.Down)
	*now = *want
	return nil
}
