package wire

import (
	"context"
	"errors"

	"github.com/easymicro/easymicro/wire/code"
)

// failed makes an error of a calling connection. It is marked as a peer's, see code.Edge: to the caller of a handler
// that passes it on, its reason would tell of another call.
func failed(c code.Code, reason, format string, args ...any) *code.Error {
	return code.Remote(code.Errorf(c, format, args...).WithReason(reason))
}

// connectionLost is all that peers are told of what ended a connection: the rest names addresses.
const connectionLost = "connection lost"

// lost is the error of calls that were out when the connection ended.
func lost(err error) *code.Error {
	return failed(code.Unavailable, code.ReasonConnectionLost, "%s: %w", connectionLost, err).InPublic(connectionLost)
}

// gone is the error of calls that come when the connection has ended.
func gone(err error) *code.Error {
	return failed(code.Unavailable, code.ReasonNoEndpoint, "%s: %w", connectionLost, err).InPublic(connectionLost)
}

// ended is the error of calls whose context ended.
func ended(err error) *code.Error {
	if errors.Is(err, context.DeadlineExceeded) {
		return failed(code.DeadlineExceeded, code.ReasonTimeout, "no answer in time: %w", err)
	}
	return failed(code.Cancelled, code.ReasonCancelled, "call cancelled: %w", err)
}

// badReply is the error of calls that were run and answered, but with what is over a limit or cannot be read. The
// reason of err itself would say that they were not run.
func badReply(err error) *code.Error {
	return failed(code.Of(err), code.ReasonBadReply, "the response: %w", err)
}
