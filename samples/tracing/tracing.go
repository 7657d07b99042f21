// Package tracing provides the handlers of a café, whose orders involve two services on two hosts.
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

// Drink is an order.
type Drink struct {
	Name string `json:"name"`
}

// Cup is a served drink.
type Cup struct {
	Holds string `json:"holds"`
}

// Cafe takes orders.
type Cafe struct{ kitchen registry.Client }

// Order calls the kitchen to brew coffee and, for a cappuccino, to froth milk. Passing ctx on makes these calls part of the
// trace.
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

// Kitchen makes drinks.
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
