package wire

import (
	"context"
	"errors"
	"io"

	"github.com/easymicro/easymicro/wire/code"
)

// failed makes an error of a calling connection. It is marked as a peer's, see code.Edge: to the caller of a handler
// that passes it on, its reason would tell of another call.
func failed(c code.Code, reason, format string, args ...any) *code.Error {
	return code.Remote(code.Errorf(c, format, args...).WithReason(reason))
}

// connectionLost is all that peers are told of what ended a connection: the rest names addresses.
const connectionLost = "connection lost"

// mute is the error of a peer that has sent no frame, for the reason err. What it has sent instead is nobody's business.
func mute(err error) *code.Error {
	var bad *FrameError
	why := "it is no rpcx server"
	switch {
	case errors.As(err, &bad):
		why += ": what it sends is no frame"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		why += ", or none that lets us in: it has closed the connection without an answer to a heartbeat"
	case errors.Is(err, context.DeadlineExceeded):
		why += ", or a very busy one: a heartbeat was not answered in time"
	default:
		return failed(code.Unavailable, code.ReasonNoEndpoint, "the connection broke before the peer said anything: %w", err)
	}
	return failed(code.Unavailable, code.ReasonNoEndpoint, "%s", why)
}

// harmless is why a connection ended, without what the peer has sent.
func harmless(err error) error {
	var bad *FrameError
	if errors.As(err, &bad) {
		return errors.New("what the peer sends is no frame: " + bad.Reason) //nolint:err113 // for people
	}
	return err
}

// lost is the error of calls that were out when the connection ended.
func lost(err error) *code.Error {
	return failed(code.Unavailable, code.ReasonConnectionLost, "%s: %w", connectionLost, harmless(err)).InPublic(connectionLost)
}

// gone is the error of calls that come when the connection has ended.
func gone(err error) *code.Error {
	return failed(code.Unavailable, code.ReasonNoEndpoint, "%s: %w", connectionLost, harmless(err)).InPublic(connectionLost)
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
	return failed(code.Internal, code.ReasonBadReply, "the response: %w", err)
}
