package client

import (
	"context"
	"errors"

	"github.com/easymicro/easymicro/wire/code"
)

// failed returns an error of the client. It is marked as remote, see code.Edge: if a handler returns it, the reason must not
// be taken for that of the handler's own call.
func failed(c code.Code, reason, format string, args ...any) *code.Error {
	return code.Remote(code.Errorf(c, format, args...).WithReason(reason))
}

// badArgument returns the error of an argument that cannot be encoded.
func badArgument(service, method string, err error) *code.Error {
	c, reason := code.Of(err), code.From(err).Reason
	if reason == "" {
		c, reason = code.InvalidArgument, code.ReasonBadPayload
	}
	return failed(c, reason, "the argument of %s.%s: %w", service, method, err).
		InPublic("the argument of " + service + "." + method + " cannot be encoded")
}

// ended returns the error of a call whose context ended before it was sent.
func ended(err error, format string, args ...any) *code.Error {
	c, reason := code.Cancelled, code.ReasonCancelled
	if errors.Is(err, context.DeadlineExceeded) {
		c, reason = code.DeadlineExceeded, code.ReasonTimeout
	}
	return failed(c, reason, format+": %w", append(args, err)...)
}

// unreached returns the error of a call for which there is no endpoint.
func unreached(format string, args ...any) *code.Error {
	return code.Unreached(failed(code.Unavailable, code.ReasonNoEndpoint, format, args...))
}

// unconnected is like ended, for a call without a connection. Only a timeout counts as unreached, since a cancellation says
// nothing about the endpoint.
func unconnected(err error, format string, args ...any) *code.Error {
	e := ended(err, format, args...)
	if e.Code == code.DeadlineExceeded {
		return code.Unreached(e)
	}
	return e
}

func closedError() *code.Error {
	return unreached("%w", ErrClosed)
}
