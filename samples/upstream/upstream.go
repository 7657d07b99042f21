// Package upstream provides a shop that calls its stock, a service of another host.
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

// Item is a product.
type Item struct {
	Name string `json:"name"`
}

// Level is the number of items in stock.
type Level struct {
	Left int64 `json:"left"`
}

// Shop sells what is in stock.
type Shop struct{ stock registry.Client }

// Look returns the number left. It is safe to retry.
func (s *Shop) Look(ctx context.Context, item *Item, level *Level) error {
	if err := s.stock.Call(ctx, "Left", item, level); err != nil {
		return fmt.Errorf("cannot look up the stock: %w", err)
	}
	return nil
}

// Buy removes one. It is not safe to retry: it might remove two.
func (s *Shop) Buy(ctx context.Context, item *Item, level *Level) error {
	if err := s.stock.Call(ctx, "Take", item, level); err != nil {
		return fmt.Errorf("nothing was sold: %w", err)
	}
	return nil
}

// Mood sets the rate of failing calls to a stock: one in FailOneIn, none if it is 0.
type Mood struct {
	FailOneIn int64 `json:"fail_one_in"`
}

// Stock counts the items.
type Stock struct {
	left, asked, failOneIn atomic.Int64
}

// Left returns the number left.
func (s *Stock) Left(_ context.Context, _ *Item, level *Level) error {
	if err := s.fail(); err != nil {
		return err
	}
	level.Left = s.left.Load()
	return nil
}

// Take removes one.
func (s *Stock) Take(_ context.Context, _ *Item, level *Level) error {
	if err := s.fail(); err != nil {
		return err
	}
	level.Left = s.left.Add(-1)
	return nil
}

// Behave changes the rate of failing calls.
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
