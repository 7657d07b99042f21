// Package code defines the outcomes of calls: gRPC's canonical codes, machine-readable reasons, and the error type with both
// that is sent over the wire.
//
// A handler returns Errorf(code, …), with WithReason if callers must distinguish cases, and inspects the errors of its own
// calls with From or Of. Refuse, Remote, Unreached, Edge, Transient and PanicText are for hosts.
package code

import (
	"fmt"
)

// Code is a canonical status code, with the number and name it has in gRPC.
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

// Parse returns the code with a canonical name. It also accepts the spelling CANCELED.
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
