package code

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestDetailOmitsCodeAndHostOfARefusal(t *testing.T) {
	refused := func() *Error {
		return Refuse(ResourceExhausted, ReasonRateLimited, "rate limited", "quota@r42", "orders-7", 140*time.Millisecond)
	}
	far := refused()
	received := Remote(&Error{Code: far.Code, Reason: far.Reason, Message: far.Message, Rule: far.Rule, Host: far.Host, RetryAfter: far.RetryAfter})
	held := func() *Error {
		return Remote(Errorf(Internal, "Arith.Mul at 10.0.0.7:8972: %w", refused()).WithReason(ReasonBadReply)).InPublic("Arith.Mul failed")
	}
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"ours", refused(), "rate limited by quota@r42, retry in 140ms"},
		{"of another host", received, "rate limited by quota@r42, retry in 140ms"},
		{"stamped", Refuse(InvalidArgument, ReasonBadPayload, "cut", "", "", 0).On("h1"), "cut"},
		{"without a host", Refuse(Unavailable, ReasonOverloaded, "full", "", "", 0), "full"},
		{"wrapped", fmt.Errorf("billing: %w", refused()), "billing: rate limited by quota@r42, retry in 140ms"},
		{"in an error with a code", Errorf(Aborted, "billing: %w", refused()), "billing: rate limited by quota@r42, retry in 140ms"},
		{"several", errors.Join(refused(), refused()), "rate limited by quota@r42, retry in 140ms\nrate limited by quota@r42, retry in 140ms"},
		{"past the edge", Edge(fmt.Errorf("billing: %w", received)), "billing: rate limited by quota@r42, retry in 140ms"},
		{"kept back", held(), "Arith.Mul failed"},
		{"kept back, wrapped", fmt.Errorf("pay: %w", held()), "pay: Arith.Mul failed"},
		{"kept back, past the edge", Edge(held()), "Arith.Mul failed"},
		{"kept back but for the cause", held().InPublicOf("Arith.Mul: ", refused()), "Arith.Mul: rate limited by quota@r42, retry in 140ms"},
		{"a handler's own words", Errorf(NotFound, "NOT_FOUND: order 7 on h1"), "NOT_FOUND: order 7 on h1"},
		{"a peer's handler's own words", Remote(Errorf(NotFound, "NOT_FOUND: order 7 on h1")), "NOT_FOUND: order 7 on h1"},
		{"a host that is named before", Refuse(Internal, "x", "wait on h1 and", "", "h1", 0), "wait on h1 and"},
	} {
		if got := From(tc.err).Detail(); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		if got := From(tc.err).Error(); got != tc.err.Error() {
			t.Errorf("%s: the message became %q", tc.name, got)
		}
	}
}

func TestAdviceForOperatorsIsNotPublic(t *testing.T) {
	dial := Remote(Errorf(Unavailable, "no endpoint of Billing can be reached: dial tcp 10.0.0.7:8972")).
		InPublic("no endpoint of Billing can be reached")
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"bare", dial, "no endpoint of Billing can be reached"},
		{"wrapped", fmt.Errorf("pay: %w", dial), "pay: no endpoint of Billing can be reached"},
		{"with a code", Errorf(Aborted, "pay: %w", dial), "pay: no endpoint of Billing can be reached"},
		{"with two", Errorf(Aborted, "pay: %w, %w", errors.New("late"), dial), "pay: late, no endpoint of Billing can be reached"},
		{"twice", fmt.Errorf("shop: %w", fmt.Errorf("pay: %w", dial)), "shop: pay: no endpoint of Billing can be reached"},
		{"past the edge", Edge(fmt.Errorf("pay: %w", dial)), "pay: no endpoint of Billing can be reached"},
		{"advice", Refuse(Unimplemented, "x", "POST only", "", "", 0).WithAdvice("add it to gateway.get"), "UNIMPLEMENTED: POST only"},
		{"stamped", Refuse(Internal, "x", "full of secrets", "", "", 0).InPublic("INTERNAL: full").On("h1"), "INTERNAL: full on h1"},
	} {
		e := From(tc.err)
		if got := e.Public(); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		if !e.KeepsBack() {
			t.Errorf("%s: nothing is kept back of %q", tc.name, e.Message)
		}
	}
	if e := Errorf(NotFound, "order %d: %w", 7, errors.New("gone")); e.KeepsBack() || e.Public() != "order 7: gone" {
		t.Errorf("kept back: %q", e.Public())
	}
}
