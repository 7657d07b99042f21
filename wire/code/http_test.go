package code

import (
	"errors"
	"net/http"
	"testing"
)

func TestHTTPStatusOfTheHostsOwnErrorsFollowsTheTable(t *testing.T) {
	for _, tc := range []struct {
		code   Code
		reason string
		want   int
	}{
		{Unimplemented, ReasonUnknownMethod, 404},
		{InvalidArgument, ReasonBadPayload, 400},
		{InvalidArgument, ReasonUnknownCodec, 415},
		{ResourceExhausted, ReasonTooLarge, 413},
		{Unauthenticated, ReasonUnauthenticated, 401},
		{PermissionDenied, ReasonDenied, 403},
		{ResourceExhausted, ReasonRateLimited, 429},
		{Unavailable, ReasonOverloaded, 503},
		{Unavailable, ReasonBreakerOpen, 503},
		{Unavailable, ReasonDraining, 503},
		{Unavailable, ReasonNoEndpoint, 502},
		{Unavailable, ReasonConnectionLost, 502},
		{DeadlineExceeded, ReasonTimeout, 504},
		{Cancelled, ReasonCancelled, 499},
		{Internal, ReasonPanic, 500},
		{Internal, ReasonBadReply, 502},
		{ResourceExhausted, ReasonBadReply, 502},
		{DeadlineExceeded, ReasonExpired, 504},
		{InvalidArgument, ReasonMissingKey, 400},
	} {
		if got := Refuse(tc.code, tc.reason, "no", "", "h1", 0).HTTPStatus(); got != tc.want {
			t.Errorf("%s/%s: status %d, want %d", tc.code, tc.reason, got, tc.want)
		}
	}
}

func TestHTTPStatusOfEveryCodeMatchesGRPCGateway(t *testing.T) {
	want := map[Code]int{
		OK: 200, Cancelled: 499, Unknown: 500, InvalidArgument: 400, DeadlineExceeded: 504, NotFound: 404,
		AlreadyExists: 409, PermissionDenied: 403, ResourceExhausted: 429, FailedPrecondition: 400, Aborted: 409,
		OutOfRange: 400, Unimplemented: 501, Internal: 500, Unavailable: 503, DataLoss: 500, Unauthenticated: 401,
	}
	for _, c := range All() {
		if got := Errorf(c, "x").HTTPStatus(); got != want[c] {
			t.Errorf("%s: status %d, want %d", c, got, want[c])
		}
	}
	if got := Errorf(Code(200), "x").HTTPStatus(); got != http.StatusInternalServerError {
		t.Errorf("a code that does not exist: status %d", got)
	}
}

func TestTheReasonOfAHandlerDoesNotChangeTheStatus(t *testing.T) {
	for reason := range reasons {
		e := Errorf(FailedPrecondition, "business").WithReason(reason)
		if got := e.HTTPStatus(); got != http.StatusBadRequest {
			t.Errorf("reason %s of a handler: status %d, want 400", reason, got)
		}
		peer := Remote(Refuse(FailedPrecondition, reason, "peer's", "r@r1", "h2", 0))
		if got := peer.HTTPStatus(); got != http.StatusBadRequest {
			t.Errorf("reason %s of a peer: status %d, want 400", reason, got)
		}
	}
	if got := From(errors.New("unknown_method")).HTTPStatus(); got != http.StatusInternalServerError {
		t.Errorf("plain error: status %d, want 500", got)
	}
}
