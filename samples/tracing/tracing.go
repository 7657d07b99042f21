// Package tracing is a café whose orders go through two services on two hosts, so that there is something to see in a trace.
package tracing

import (
	"context"

	"github.com/easymicro/easymicro/registry"
)

func init() {
	registry.Register("tracing.cafe", struct{}{}, openCafe,
		registry.Methods[Cafe](), registry.Uses("kitchen"), registry.Example("Order", Drink{Name: "cappuccino"}))
	registry.Plain(new(Kitchen), registry.As("tracing.kitchen"))
}

func openCafe(_ context.Context, _ struct{}, env registry.Env) (*registry.Service, error) {
	return registry.Receiver(&Cafe{kitchen: env.Client("kitchen")}), nil
}

// Drink is what is ordered.
type Drink struct {
	Name string `json:"name"`
}

// Cup is what comes of it.
type Cup struct {
	Holds string `json:"holds"`
}

// Cafe takes orders.
type Cafe struct{ kitchen registry.Client }

// Order has the kitchen brew coffee, and froth milk for a cappuccino. The context that it passes on is all that it takes
// for these calls to be part of the trace.
func (c *Cafe) Order(ctx context.Context, drink *Drink, cup *Cup) error {
	if err := c.kitchen.Call(ctx, "Brew", drink, cup); err != nil {
		return err
	}
	if drink.Name != "cappuccino" {
		return nil
	}
	var milk Cup
	if err := c.kitchen.Call(ctx, "Froth", drink, &milk); err != nil {
		return err
	}
	cup.Holds += " with " + milk.Holds
	return nil
}

// Kitchen does the work.
type Kitchen struct{}

// Brew makes coffee.
func (*Kitchen) Brew(_ context.Context, _ *Drink, cup *Cup) error {
	cup.Holds = "coffee"
	return nil
}

// Froth froths milk.
func (*Kitchen) Froth(_ context.Context, _ *Drink, cup *Cup) error {
	cup.Holds = "milk"
	return nil
}
