// Package error provides a handler that fails in every way a handler can.
package error

import (
	"context"
	"errors"
	"fmt"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
)

func init() { registry.Plain(new(Orders)) }

// Ref identifies an order.
type Ref struct {
	ID string `json:"id"`
}

// Order is an order.
type Order struct {
	ID   string `json:"id"`
	Item string `json:"item"`
}

// Orders has one order: number 1.
type Orders struct {
	shipped map[string]int // never made, so that Ship panics
}

var errLedgerClosed = errors.New("the ledger is closed")

// Get fails with a code, which determines the HTTP status, and a reason on which callers can branch.
func (*Orders) Get(_ context.Context, ref *Ref, order *Order) error {
	switch ref.ID {
	case "":
		return code.Errorf(code.InvalidArgument, "an order has an id").WithReason("no_id")
	case "1":
		*order = Order{ID: "1", Item: "tea"}
		return nil
	}
	return code.Errorf(code.NotFound, "no order %s", ref.ID).WithReason("no_such_order")
}

// Pay fails with a plain error: the caller gets its text and the code UNKNOWN.
func (*Orders) Pay(_ context.Context, ref *Ref, _ *Order) error {
	return fmt.Errorf("pay for order %s: %w", ref.ID, errLedgerClosed)
}

// Ship panics. Its caller gets INTERNAL without the text, the log has the stack, and other calls are not affected.
func (o *Orders) Ship(_ context.Context, ref *Ref, _ *Order) error {
	o.shipped[ref.ID]++
	return nil
}
