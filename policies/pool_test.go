package policies_test

import (
	"testing"
	"testing/synctest"

	"github.com/easymicro/easymicro/wire/code"
)

// What one client no longer needs to know does not take from the other.
func TestClientsThatCallAnUpstreamByOneNameHaveOneStateOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", scoped("")))
		b.serve("a:1")
		other := lookUp(b.guard.Pool(), "billing", "Billing")
		other.set("a:1", "b:1")
		b.answer = always(errDown)
		b.fail(3)
		other.Close()
		other.Close()
		if err := b.call(t.Context()); reasonOf(err) != code.ReasonBreakerOpen {
			t.Errorf("after the other client has gone: %v", err)
		}
		again := lookUp(b.guard.Pool(), "billing", "Billing") // an old listing that ends after a new one began
		again.set("a:1")
		b.announce("billing", "Billing", nil)
		if err := b.call(t.Context()); reasonOf(err) != code.ReasonBreakerOpen {
			t.Errorf("after it looks the service up anew: %v", err)
		}
		again.Close()
		if err := b.call(t.Context()); reasonOf(err) == code.ReasonBreakerOpen {
			t.Errorf("after all have gone: %v", err)
		}
	})
}
