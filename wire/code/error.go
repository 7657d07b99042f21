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
	"unicode/utf8"
)

// Error is the outcome of a failed call, as sent over the wire. All fields but Code are optional.
type Error struct {
	Code       Code
	Reason     string        // machine-readable: a Reason constant or a handler's own
	Message    string        // human-readable: other hosts receive it, HTTP callers receive Detail
	Rule       string        // rule that refused the call, as name@r42
	RetryAfter time.Duration // time after which a retry may succeed
	Host       string        // host that refused the call

	cause     error
	public    string // public part of Message; "": all of it
	kind      string // Kind
	detail    string // Detail, if it cannot be derived from public
	remote    bool
	refusal   bool
	unreached bool
}

// Errorf returns an error with a code and a formatted message. Like fmt.Errorf, it wraps the operand of %w.
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

// OfKind sets the kind of the rule that refused the call, where the reason does not tell, and returns e.
func (e *Error) OfKind(kind string) *Error {
	e.kind = kind
	return e
}

// Kind returns what OfKind has set. It is not sent over the wire.
func (e *Error) Kind() string { return e.kind }

// Error returns the message, without the code.
func (e *Error) Error() string { return e.Message }

// InPublic sets the text for untrusted callers and returns e. Message may then contain addresses and advice for operators.
func (e *Error) InPublic(text string) *Error {
	e.public, e.detail = text, ""
	return e
}

// InPublicOf is like InPublic, with prefix followed by the public text of inner.
func (e *Error) InPublicOf(prefix string, inner *Error) *Error {
	e.public, e.detail = prefix+inner.Public(), prefix+inner.Detail()
	return e
}

// WithAdvice appends advice for operators to Message, but not to Public, and returns e.
func (e *Error) WithAdvice(advice string) *Error {
	e.public = e.Public()
	e.Message += "; " + advice
	return e
}

// WithCause sets the error that Unwrap returns, and returns e. The cause is logged, but not sent.
func (e *Error) WithCause(cause error) *Error {
	e.cause = cause
	return e
}

// KeepsBack reports whether e has details for the log that Public omits.
func (e *Error) KeepsBack() bool {
	return e.Public() != e.Message || e.hasCause()
}

func (e *Error) hasCause() bool {
	return e.cause != nil && !strings.Contains(e.Message, e.cause.Error())
}

// Public returns the text for untrusted callers: the one set by InPublic, or else Message. In errors that wrap e it replaces
// Message.
func (e *Error) Public() string {
	if e.public != "" {
		return e.public
	}
	return e.Message
}

// Detail returns Public without the code and host that Refuse adds, for callers that receive these separately.
func (e *Error) Detail() string {
	if e.detail != "" {
		return e.detail
	}
	text := e.Public()
	if !e.refusal && e.Host == "" && (!e.remote || e.Reason == "") {
		return text // a handler's text
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

// inherit derives the public texts from those of the errors that err wraps.
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

// wrapped yields the outermost *Error of each branch in the tree of err.
func wrapped(err error) iter.Seq[*Error] {
	return func(yield func(*Error) bool) { walk(err, yield) }
}

func walk(err error, yield func(*Error) bool) bool {
	switch x := err.(type) { //nolint:errorlint // walk visits the tree itself
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

// Unwrap returns the cause: the operand of %w in Errorf, or that of WithCause.
func (e *Error) Unwrap() error { return e.cause }

// LogValue implements slog.LogValuer. It returns the fields that are set.
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

// Own reports whether e is the host's own error, made by Refuse or On, rather than a handler's or a peer's.
func (e *Error) Own() bool { return !e.remote && (e.refusal || e.Host != "") }

// On returns a copy of e that names the host, for errors made without knowing it.
func (e *Error) On(host string) *Error {
	own := *e
	own.Message += " on " + host
	if own.public != "" {
		own.public += " on " + host
	}
	own.Host = host
	return &own
}

// Unreached reports whether the call was never sent. This is not sent to peers.
func (e *Error) Unreached() bool { return e.unreached }

// From returns err as an *Error, or nil if err is nil. An *Error that err wraps gets the text of err; context errors become
// DEADLINE_EXCEEDED or CANCELLED, all others UNKNOWN.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := err.(*Error); ok { //nolint:errorlint // a wrapped one needs a copy
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

// StatusClientClosedRequest is the status that proxies log when the client has disconnected. It is not in net/http.
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

// HTTPStatus returns the HTTP status for e. It maps codes like grpc-gateway, but for the host's own errors some reasons have
// a more precise status. The reason of a handler's error has no effect.
func (e *Error) HTTPStatus() int {
	if s := reasons[e.Reason].status; s != 0 && e.Own() {
		return s
	}
	if s, ok := httpStatus[e.Code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// Clip returns s as valid UTF-8 of at most limit bytes. A longer text is cut between characters and ends in "…", which
// counts. Invalid bytes become U+FFFD. Use it for untrusted texts.
func Clip(s string, limit int) string {
	if len(s) <= limit && utf8.ValidString(s) {
		return s
	}
	cut := len(s) > limit
	s = strings.ToValidUTF8(s[:boundary(s, limit)], "\uFFFD")
	if !cut && len(s) <= limit {
		return s
	}
	const more = "…"
	if limit < len(more) {
		return s[:boundary(s, limit)]
	}
	return s[:boundary(s, limit-len(more))] + more
}

// boundary returns the end of the last character that lies within the first limit bytes of s.
func boundary(s string, limit int) int {
	limit = max(limit, 0)
	if limit >= len(s) {
		return len(s)
	}
	for back := range utf8.UTFMax {
		if back <= limit && utf8.RuneStart(s[limit-back]) {
			return limit - back
		}
	}
	return limit // within invalid UTF-8
}
