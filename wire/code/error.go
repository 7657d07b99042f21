package code

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Error is the outcome of a failed call, as it is sent over the wire. Rule, RetryAfter and Host are optional.
type Error struct {
	Code       Code
	Reason     string        // for machines; one of the Reason constants or the handler's own
	Message    string        // for people; sent to other hosts verbatim, and to HTTP callers as Detail
	Rule       string        // rule that refused the call, as name@r42
	RetryAfter time.Duration // time after which a retry may succeed
	Host       string        // host that refused the call

	cause     error
	public    string // what anybody may read of Message; "" for all of it
	detail    string // Detail, where it cannot be derived from public
	remote    bool
	refusal   bool
	unreached bool
}

// Errorf returns an error with a code. It wraps the operand of a %w verb.
func Errorf(c Code, format string, args ...any) *Error {
	wrapped := fmt.Errorf(format, args...)
	e := &Error{Code: c, Message: wrapped.Error(), cause: errors.Unwrap(wrapped)}
	e.inherit(wrapped)
	return e
}

// WithReason sets the reason and returns e.
func (e *Error) WithReason(reason string) *Error {
	e.Reason = reason
	return e
}

// Error returns the message, without the code.
func (e *Error) Error() string { return e.Message }

// InPublic sets the text that anybody may read and returns e. Message may then contain what is for operators and other
// hosts: addresses, and advice about the manifest.
func (e *Error) InPublic(text string) *Error {
	e.public, e.detail = text, ""
	return e
}

// InPublicOf is InPublic with prefix and the public text of inner.
func (e *Error) InPublicOf(prefix string, inner *Error) *Error {
	e.public, e.detail = prefix+inner.Public(), prefix+inner.Detail()
	return e
}

// WithAdvice appends advice for operators to Message, leaves Public as it is, and returns e.
func (e *Error) WithAdvice(advice string) *Error {
	e.public = e.Public()
	e.Message += "; " + advice
	return e
}

// WithCause sets what Unwrap returns and returns e. What Message does not say of the cause is only logged.
func (e *Error) WithCause(cause error) *Error {
	e.cause = cause
	return e
}

// KeepsBack reports whether the log has more to say about e than Public.
func (e *Error) KeepsBack() bool {
	return e.Public() != e.Message || e.hasCause()
}

func (e *Error) hasCause() bool {
	return e.cause != nil && !strings.Contains(e.Message, e.cause.Error())
}

// Public returns the text that anybody may read: Message, unless InPublic has set another. In errors that wrap e it
// replaces e's Message.
func (e *Error) Public() string {
	if e.public != "" {
		return e.public
	}
	return e.Message
}

// Detail returns Public without the code and the host that Refuse puts around it, for callers that get both in fields of
// their own.
func (e *Error) Detail() string {
	if e.detail != "" {
		return e.detail
	}
	text := e.Public()
	if !e.refusal && e.Host == "" && (!e.remote || e.Reason == "") {
		return text // a handler's own words
	}
	text = strings.TrimPrefix(text, e.Code.String()+": ")
	if e.Host == "" {
		return text
	}
	if before, after, ok := cutLast(text, " on "+e.Host); ok && (after == "" || strings.HasPrefix(after, ", retry in ")) {
		return before + after
	}
	return text
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// inherit takes over the public texts of the errors that err wraps.
func (e *Error) inherit(err error) {
	public, detail := err.Error(), err.Error()
	for inner := range wrapped(err) {
		if inner.Message != "" {
			public = strings.ReplaceAll(public, inner.Message, inner.Public())
			detail = strings.ReplaceAll(detail, inner.Message, inner.Detail())
		}
	}
	if e.public = ""; public != e.Message {
		e.public = public
	}
	if e.detail = ""; detail != public {
		e.detail = detail
	}
}

// wrapped yields the outermost *Errors in the tree of err.
func wrapped(err error) iter.Seq[*Error] {
	return func(yield func(*Error) bool) { walk(err, yield) }
}

func walk(err error, yield func(*Error) bool) bool {
	switch x := err.(type) { //nolint:errorlint // this walks the tree itself
	case *Error:
		return yield(x)
	case interface{ Unwrap() error }:
		return walk(x.Unwrap(), yield)
	case interface{ Unwrap() []error }:
		for _, inner := range x.Unwrap() {
			if !walk(inner, yield) {
				return false
			}
		}
	}
	return true
}

// Unwrap returns the operand of %w in Errorf, or the cause of WithCause.
func (e *Error) Unwrap() error { return e.cause }

// LogValue returns the fields that are set.
func (e *Error) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("code", e.Code.String()), slog.String("message", e.Message)}
	if e.Reason != "" {
		attrs = append(attrs, slog.String("reason", e.Reason))
	}
	if e.Rule != "" {
		attrs = append(attrs, slog.String("rule", e.Rule))
	}
	if e.hasCause() {
		attrs = append(attrs, slog.String("cause", e.cause.Error()))
	}
	return slog.GroupValue(attrs...)
}

// Own reports whether e is the host's own outcome, made by Refuse or completed by On, and neither a handler's error nor
// read from a peer.
func (e *Error) Own() bool { return !e.remote && (e.refusal || e.Host != "") }

// On returns a copy of e that names the host, for refusals by parts that do not know it.
func (e *Error) On(host string) *Error {
	own := *e
	own.Message += " on " + host
	if own.public != "" {
		own.public += " on " + host
	}
	own.Host = host
	return &own
}

// Unreached reports whether e is marked as never sent. The mark is not sent to peers.
func (e *Error) Unreached() bool { return e.unreached }

// From returns err as an *Error: nil for nil, the one in its chain with err's own text, the codes of the errors of package
// context, and otherwise UNKNOWN.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok { //nolint:errorlint // the common case needs no copy
		return e
	}
	var e *Error
	switch {
	case errors.As(err, &e):
		outer := *e
		outer.Message, outer.cause = err.Error(), err
		outer.inherit(err)
		return &outer
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: DeadlineExceeded, Reason: ReasonTimeout, Message: err.Error(), cause: err}
	case errors.Is(err, context.Canceled):
		return &Error{Code: Cancelled, Reason: ReasonCancelled, Message: err.Error(), cause: err}
	}
	return &Error{Code: Unknown, Message: err.Error(), cause: err}
}

// Of returns the code of err; OK for nil.
func Of(err error) Code {
	if err == nil {
		return OK
	}
	return From(err).Code
}

// StatusClientClosedRequest is what proxies log when the client has disconnected; net/http has no name for it.
const StatusClientClosedRequest = 499

var httpStatus = map[Code]int{
	OK:                 http.StatusOK,
	Cancelled:          StatusClientClosedRequest,
	Unknown:            http.StatusInternalServerError,
	InvalidArgument:    http.StatusBadRequest,
	DeadlineExceeded:   http.StatusGatewayTimeout,
	NotFound:           http.StatusNotFound,
	AlreadyExists:      http.StatusConflict,
	PermissionDenied:   http.StatusForbidden,
	ResourceExhausted:  http.StatusTooManyRequests,
	FailedPrecondition: http.StatusBadRequest,
	Aborted:            http.StatusConflict,
	OutOfRange:         http.StatusBadRequest,
	Unimplemented:      http.StatusNotImplemented,
	Internal:           http.StatusInternalServerError,
	Unavailable:        http.StatusServiceUnavailable,
	DataLoss:           http.StatusInternalServerError,
	Unauthenticated:    http.StatusUnauthorized,
}

var reasonStatus = map[string]int{
	ReasonUnknownMethod:  http.StatusNotFound,
	ReasonUnknownCodec:   http.StatusUnsupportedMediaType,
	ReasonTooLarge:       http.StatusRequestEntityTooLarge,
	ReasonNoEndpoint:     http.StatusBadGateway,
	ReasonConnectionLost: http.StatusBadGateway,
	ReasonBadReply:       http.StatusBadGateway,
}

// HTTPStatus returns the HTTP status of an error. For the host's own errors the reason decides where it is more precise
// than the code; otherwise the mapping is that of grpc-gateway. The reason of a handler's error never picks a status.
func (e *Error) HTTPStatus() int {
	if e.Own() {
		if s, ok := reasonStatus[e.Reason]; ok {
			return s
		}
	}
	if s, ok := httpStatus[e.Code]; ok {
		return s
	}
	return http.StatusInternalServerError
}
