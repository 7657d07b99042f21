package code

// Reasons of the host's own errors. A reason tells a machine why a call failed, and so whether it was run.
const (
	ReasonUnknownMethod   = "unknown_method"
	ReasonBadPayload      = "bad_payload"
	ReasonUnknownCodec    = "unknown_codec"
	ReasonTooLarge        = "too_large"
	ReasonUnauthenticated = "unauthenticated"
	ReasonDenied          = "denied"
	ReasonMissingKey      = "missing_key"
	ReasonRateLimited     = "rate_limited"
	ReasonOverloaded      = "overloaded"
	ReasonBreakerOpen     = "breaker_open"
	ReasonDraining        = "draining"
	ReasonNoEndpoint      = "no_endpoint"
	ReasonConnectionLost  = "connection_lost"
	ReasonExpired         = "expired" // the deadline had passed before the call could begin
	ReasonTimeout         = "timeout"
	ReasonCancelled       = "cancelled"
	ReasonPanic           = "panic"
	ReasonBadReply        = "bad_reply" // the call was run, but what came of it cannot be sent or read
)

var notRun = map[string]bool{
	ReasonUnknownMethod: true, ReasonBadPayload: true, ReasonUnknownCodec: true, ReasonTooLarge: true,
	ReasonUnauthenticated: true, ReasonDenied: true, ReasonMissingKey: true, ReasonRateLimited: true, ReasonOverloaded: true,
	ReasonBreakerOpen: true, ReasonDraining: true, ReasonNoEndpoint: true, ReasonExpired: true,
}

// NotRun reports whether a reason proves that the handler never saw the call, so that it may be sent again.
func NotRun(reason string) bool { return notRun[reason] }
