package code

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Error is the outcome of a call that did not succeed, as it travels over the wire. The zero Rule, RetryAfter and Host
// mean "none".
type Error struct {
	Code       Code
	Reason     string        // why, for machines; one of the Reason constants or the handler's own
	Message    string        // why, for people; reaches the peer verbatim
	Rule       string        // the rule that refused, as name@r42
	RetryAfter time.Duration // when it is worth trying again
	Host       string        // the host that refused

	cause     error
	remote    bool
	refusal   bool
	unreached bool
}

// Errorf makes an error with a code. A %w verb keeps its operand for errors.Is and errors.As.
func Errorf(c Code, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	return &Error{Code: c, Message: wrapped.Error(), cause: errors.Unwrap(wrapped)}
}

// WithReason sets the reason and returns e.
func (e *Error) WithReason(reason string) *Error {
	e.Reason = reason
	return e
}

// Error is the message, without the code: it is what a peer is told verbatim.
func (e *Error) Error() string { return e.Message }

// Unwrap is what Errorf was given for %w.
func (e *Error) Unwrap() error { return e.cause }

// LogValue shows the fields that are set.
func (e *Error) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("code", e.Code.String()), slog.String("message", e.Message)}
	if e.Reason != "" {
		attrs = append(attrs, slog.String("reason", e.Reason))
	}
	if e.Rule != "" {
		attrs = append(attrs, slog.String("rule", e.Rule))
	}
	return slog.GroupValue(attrs...)
}

// Refuse makes the error of a refusal by the host itself. The message says all there is to know in one string, for
// peers that read nothing else: "RESOURCE_EXHAUSTED: rate limited by partner-quota@r42 on orders-7, retry in 140ms".
func Refuse(c Code, reason, what, rule, host string, retryAfter time.Duration) *Error {
	msg := c.String() + ": " + what
	if rule != "" {
		msg += " by " + rule
	}
	if host != "" {
		msg += " on " + host
	}
	if retryAfter > 0 {
		msg += ", retry in " + retryAfter.Round(time.Millisecond).String()
	}
	return &Error{Code: c, Reason: reason, Message: msg, Rule: rule, RetryAfter: retryAfter, Host: host, refusal: true}
}

// Own reports whether e is the host's own outcome, made by Refuse or stamped with a host here, and neither a handler's
// error nor one that was read from a peer.
func (e *Error) Own() bool { return !e.remote && (e.refusal || e.Host != "") }

// On is the refusal of a part that does not know which host it works for, stamped with the host's name.
func (e *Error) On(host string) *Error {
	own := *e
	own.Message += " on " + host
	own.Host = host
	return &own
}

// Remote marks e as read from a peer, and returns it. See Edge.
func Remote(e *Error) *Error {
	e.remote = true
	return e
}

// Unreached marks e as that of a call that was never sent, since a client found nobody to send it to, or had no connection
// in its time, and returns it.
func Unreached(e *Error) *Error {
	e.unreached = true
	return e
}

// Unreached tells that e is marked so. Peers are not told.
func (e *Error) Unreached() bool { return e.unreached }

// From is the coded form of err: nil for nil, the *Error in its chain (with err's own text) if there is one, the codes
// of the context's errors, and UNKNOWN for any other.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok { //nolint:errorlint // the unwrapped case is the hot one and needs no copy
		return e
	}
	var e *Error
	switch {
	case errors.As(err, &e):
		outer := *e
		outer.Message, outer.cause = err.Error(), err
		return &outer
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: DeadlineExceeded, Reason: ReasonTimeout, Message: err.Error(), cause: err}
	case errors.Is(err, context.Canceled):
		return &Error{Code: Cancelled, Reason: ReasonCancelled, Message: err.Error(), cause: err}
	}
	return &Error{Code: Unknown, Message: err.Error(), cause: err}
}

// Edge is From for the place where a handler's error leaves its host: what a peer of the handler said about itself
// (reason, rule, retry-after, host) is left out, since one hop further up it would be read as ours.
func Edge(err error) *Error {
	e := From(err)
	if e == nil || !e.remote {
		return e
	}
	return &Error{Code: e.Code, Message: e.Message, cause: e.cause}
}

// Of is the code of err; OK for nil.
func Of(err error) Code {
	if err == nil {
		return OK
	}
	return From(err).Code
}
