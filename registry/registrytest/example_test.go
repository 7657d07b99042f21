package registrytest_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/registry/registrytest"
)

// exampleT is the *testing.T of the examples, which have none.
type exampleT struct{ testing.TB }

func (exampleT) Helper()                  {}
func (exampleT) Context() context.Context { return context.Background() }
func (exampleT) Output() io.Writer        { return io.Discard }
func (exampleT) Cleanup(func())           {}

// A unit test opens a handler with options of its own and a fake for each client that the handler uses.
func ExampleOpen() {
	var t exampleT // in a test, its *testing.T

	billing := registrytest.ClientFunc(func(_ context.Context, _ string, _, reply any) error {
		*reply.(*int) = 12
		return nil
	})
	h := registrytest.Open(t, "shop",
		registrytest.In(shops()), // not needed for handlers that register themselves in an init function
		registrytest.Options(options{Prefix: "order "}),
		registrytest.Client("billing", billing))

	ctx := registry.WithCall(context.Background(), &registry.Call{Caller: "partner"})
	reply, err := registrytest.Call[receipt](ctx, h, "Buy", order{ID: 7})
	fmt.Println(reply.Text, err)
	// Output: order 7 for partner: 12 <nil>
}
