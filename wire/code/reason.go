package code

import "net/http"

// Reasons of the host's own errors.
const (
	ReasonUnknownMethod   = "unknown_method"
	ReasonBadPayload      = "bad_payload"
	ReasonUnknownCodec    = "unknown_codec"
	ReasonTooLarge        = "too_large"
	ReasonUnauthenticated = "unauthenticated"
	ReasonNoKeys          = "no_keys" // that verify signed tokens: none could be fetched yet
	ReasonDenied          = "denied"
	ReasonMissingKey      = "missing_key"
	ReasonRateLimited     = "rate_limited"
	ReasonOverloaded      = "overloaded"
	ReasonBreakerOpen     = "breaker_open"
	ReasonRuleBroken      = "rule_broken" // an access rule panics: it is a bug of the host
	ReasonDraining        = "draining"
	ReasonNoEndpoint      = "no_endpoint"
	ReasonConnectionLost  = "connection_lost"
	ReasonExpired         = "expired" // the deadline had passed before the call began
	ReasonTimeout         = "timeout"
	ReasonCancelled       = "cancelled"
	ReasonPanic           = "panic"
	ReasonBadReply        = "bad_reply" // the call was run, but its reply could not be sent or read
)

// reasons has what each reason means for the caller.
var reasons = map[string]struct {
	notRun    bool // see NotRun
	transient bool // see Transient
	status    int  // of HTTP; 0: that of the code
}{
	ReasonUnknownMethod:   {notRun: true, status: http.StatusNotFound},
	ReasonBadPayload:      {notRun: true},
	ReasonUnknownCodec:    {notRun: true, status: http.StatusUnsupportedMediaType},
	ReasonTooLarge:        {notRun: true, status: http.StatusRequestEntityTooLarge},
	ReasonUnauthenticated: {notRun: true},
	ReasonNoKeys:          {notRun: true, transient: true},
	ReasonDenied:          {notRun: true},
	ReasonMissingKey:      {notRun: true},
	ReasonRateLimited:     {notRun: true, transient: true},
	ReasonOverloaded:      {notRun: true, transient: true},
	ReasonBreakerOpen:     {notRun: true, transient: true},
	ReasonRuleBroken:      {notRun: true},
	ReasonDraining:        {notRun: true},
	ReasonNoEndpoint:      {notRun: true, status: http.StatusBadGateway},
	ReasonConnectionLost:  {status: http.StatusBadGateway},
	ReasonExpired:         {notRun: true},
	ReasonTimeout:         {},
	ReasonCancelled:       {},
	ReasonPanic:           {},
	ReasonBadReply:        {status: http.StatusBadGateway},
}

// NotRun reports whether a reason proves that the handler was not called, so that a retry is safe.
func NotRun(reason string) bool { return reasons[reason].notRun }

// Transient reports whether a call that the host has refused for a reason may soon succeed there, so that it makes sense
// to state when to retry.
func Transient(reason string) bool { return reasons[reason].transient }
