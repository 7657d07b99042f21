// Package code names the outcomes of a call: the canonical codes, the reasons that tell a machine why, and the one error
// type that carries both over the wire.
//
// A handler returns Errorf(code, …), with WithReason if callers should tell cases apart, and reads the errors of its own
// calls with From or Of. The functions in host.go are for the host.
package code

import (
	"fmt"
)

// Code is a canonical status code, with the number and the name that gRPC gives it.
type Code uint8

// Canonical codes.
const (
	OK Code = iota
	Cancelled
	Unknown
	InvalidArgument
	DeadlineExceeded
	NotFound
	AlreadyExists
	PermissionDenied
	ResourceExhausted
	FailedPrecondition
	Aborted
	OutOfRange
	Unimplemented
	Internal
	Unavailable
	DataLoss
	Unauthenticated
)

var names = [...]string{
	OK:                 "OK",
	Cancelled:          "CANCELLED",
	Unknown:            "UNKNOWN",
	InvalidArgument:    "INVALID_ARGUMENT",
	DeadlineExceeded:   "DEADLINE_EXCEEDED",
	NotFound:           "NOT_FOUND",
	AlreadyExists:      "ALREADY_EXISTS",
	PermissionDenied:   "PERMISSION_DENIED",
	ResourceExhausted:  "RESOURCE_EXHAUSTED",
	FailedPrecondition: "FAILED_PRECONDITION",
	Aborted:            "ABORTED",
	OutOfRange:         "OUT_OF_RANGE",
	Unimplemented:      "UNIMPLEMENTED",
	Internal:           "INTERNAL",
	Unavailable:        "UNAVAILABLE",
	DataLoss:           "DATA_LOSS",
	Unauthenticated:    "UNAUTHENTICATED",
}

// All returns the codes in numeric order.
func All() []Code {
	all := make([]Code, len(names))
	for i := range names {
		all[i] = Code(i)
	}
	return all
}

// String returns the canonical name, such as RESOURCE_EXHAUSTED.
func (c Code) String() string {
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("CODE_%d", uint8(c))
}

// Parse returns the code of a canonical name. It accepts the American spelling CANCELED.
func Parse(name string) (Code, bool) {
	if name == "CANCELED" {
		return Cancelled, true
	}
	for i, n := range names {
		if n == name {
			return Code(i), true
		}
	}
	return Unknown, false
}

// Reasons of the host's own errors. A reason says why a call failed, and so whether it was run.
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
	ReasonExpired         = "expired" // the deadline passed before the call began
	ReasonTimeout         = "timeout"
	ReasonCancelled       = "cancelled"
	ReasonPanic           = "panic"
	ReasonBadReply        = "bad_reply" // the call was run, but its reply cannot be sent or read
)

var notRun = map[string]bool{
	ReasonUnknownMethod: true, ReasonBadPayload: true, ReasonUnknownCodec: true, ReasonTooLarge: true,
	ReasonUnauthenticated: true, ReasonDenied: true, ReasonMissingKey: true, ReasonRateLimited: true, ReasonOverloaded: true,
	ReasonBreakerOpen: true, ReasonDraining: true, ReasonNoEndpoint: true, ReasonExpired: true,
}

// NotRun reports whether a reason proves that the handler never saw the call, so that it is safe to retry.
func NotRun(reason string) bool { return notRun[reason] }
