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

// ended is the error of calls whose context ended before anything was sent.
func ended(err error, format string, args ...any) *code.Error {
	c, reason := code.Cancelled, code.ReasonCancelled
	if errors.Is(err, context.DeadlineExceeded) {
		c, reason = code.DeadlineExceeded, code.ReasonTimeout
	}
	return failed(c, reason, format+": %w", append(args, err)...)
}

func closedError() *code.Error {
	return failed(code.Unavailable, code.ReasonNoEndpoint, "%w", ErrClosed)
}
