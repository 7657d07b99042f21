// Package upstream is a shop that asks its stock, which is a service of another host.
package upstream

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
)

func init() {
	registry.Register("upstream.shop", struct{}{}, openShop,
		registry.Methods[Shop](), registry.Uses("stock"), registry.Example("Look", Item{Name: "tea"}))
	registry.Register("upstream.stock", struct{}{}, openStock, registry.Methods[Stock]())
}

func openShop(_ context.Context, _ struct{}, env registry.Env) (*registry.Service, error) {
	return registry.Receiver(&Shop{stock: env.Client("stock")}), nil
}

func openStock(context.Context, struct{}, registry.Env) (*registry.Service, error) {
	s := new(Stock)
	s.left.Store(1000)
	return registry.Receiver(s), nil
}

// Item is a thing that is sold.
type Item struct {
	Name string `json:"name"`
}

// Level is how much of it there is.
type Level struct {
	Left int64 `json:"left"`
}

// Shop sells what is in stock.
type Shop struct{ stock registry.Client }

// Look says how much is left. The question may be asked twice.
func (s *Shop) Look(ctx context.Context, item *Item, level *Level) error {
	if err := s.stock.Call(ctx, "Left", item, level); err != nil {
		return fmt.Errorf("nobody knows what is left: %w", err)
	}
	return nil
}

// Buy takes one. To take it twice would be wrong.
func (s *Shop) Buy(ctx context.Context, item *Item, level *Level) error {
	if err := s.stock.Call(ctx, "Take", item, level); err != nil {
		return fmt.Errorf("nothing was sold: %w", err)
	}
	return nil
}

// Mood is how many of the calls to a stock fail: one in so many, all with 1, none with 0.
type Mood struct {
	FailOneIn int64 `json:"fail_one_in"`
}

// Stock counts what is there.
type Stock struct {
	left, asked, failOneIn atomic.Int64
}

// Left tells what is left.
func (s *Stock) Left(_ context.Context, _ *Item, level *Level) error {
	if err := s.fail(); err != nil {
		return err
	}
	level.Left = s.left.Load()
	return nil
}

// Take takes one away.
func (s *Stock) Take(_ context.Context, _ *Item, level *Level) error {
	if err := s.fail(); err != nil {
		return err
	}
	level.Left = s.left.Add(-1)
	return nil
}

// Behave changes how many of the calls fail from now on.
func (s *Stock) Behave(_ context.Context, want, now *Mood) error {
	s.failOneIn.Store(want.FailOneIn)
	*now = *want
	return nil
}

func (s *Stock) fail() error {
	if n := s.failOneIn.Load(); n > 0 && s.asked.Add(1)%n == 0 {
		return code.Errorf(code.Unavailable, "the scales are stuck")
	}
	return nil
}
