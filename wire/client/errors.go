package client

import (
	"context"
	"errors"

	"github.com/easymicro/easymicro/wire/code"
)

// failed makes an error of the client. It is marked as a peer's, see code.Edge: to the caller of a handler that passes
// it on, its reason would tell of another call.
func failed(c code.Code, reason, format string, args ...any) *code.Error {
	return code.Remote(code.Errorf(c, format, args...).WithReason(reason))
}

// badArgument is the error of arguments that cannot be encoded: nobody is asked to run the call.
func badArgument(service, method string, err error) *code.Error {
	c, reason := code.Of(err), code.From(err).Reason
	if reason == "" {
		c, reason = code.InvalidArgument, code.ReasonBadPayload
	}
	return failed(c, reason, "the argument of %s.%s: %w", service, method, err).
		InPublic("the argument of " + service + "." + method + " cannot be encoded")
}

// ended is the error of calls whose context ended before anything was sent.
func ended(err error, format string, args ...any) *code.Error {
	c, reason := code.Cancelled, code.ReasonCancelled
	if errors.Is(err, context.DeadlineExceeded) {
		c, reason = code.DeadlineExceeded, code.ReasonTimeout
	}
	return failed(c, reason, format+": %w", append(args, err)...)
}

// unreached is the error of calls that there is nobody to send to.
func unreached(format string, args ...any) *code.Error {
	return code.Unreached(failed(code.Unavailable, code.ReasonNoEndpoint, format, args...))
}

// unconnected is ended, for want of a connection. That the caller has lost interest says nothing about who was called.
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
