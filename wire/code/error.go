package code

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"reflect"
	"strings"
	"time"
)

// Error is the outcome of a call that did not succeed, as it travels over the wire. The zero Rule, RetryAfter and Host
// mean "none".
type Error struct {
	Code       Code
	Reason     string        // why, for machines; one of the Reason constants or the handler's own
	Message    string        // why, for people; reaches other hosts verbatim, and HTTP callers as Detail
	Rule       string        // the rule that refused, as name@r42
	RetryAfter time.Duration // when it is worth trying again
	Host       string        // the host that refused

	cause     error
	public    string // what of Message anybody may read; "" if that is all of it
	detail    string // the bare sentence, where it cannot be cut out of public
	remote    bool
	refusal   bool
	unreached bool
}

// Errorf makes an error with a code. A %w verb keeps its operand for errors.Is and errors.As.
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

// Error is the message, without the code.
func (e *Error) Error() string { return e.Message }

// InPublic sets the text that anybody may read and returns e. Message may then name what is for operators and for other
// hosts: addresses, and what to change in the manifest.
func (e *Error) InPublic(text string) *Error {
	e.public, e.detail = text, ""
	return e
}

// InPublicOf is InPublic with what anybody may read of inner behind prefix.
func (e *Error) InPublicOf(prefix string, inner *Error) *Error {
	e.public, e.detail = prefix+inner.Public(), prefix+inner.Detail()
	return e
}

// WithAdvice appends to Message what operators may do about it, leaves Public as it is, and returns e.
func (e *Error) WithAdvice(advice string) *Error {
	e.public = e.Public()
	e.Message += "; " + advice
	return e
}

// WithCause sets what Unwrap returns, which is for the log alone where Message does not say it, and returns e.
func (e *Error) WithCause(cause error) *Error {
	e.cause = cause
	return e
}

// KeepsBack reports whether the log is told more of e than Public says.
func (e *Error) KeepsBack() bool {
	return e.Public() != e.Message || e.hasCause()
}

func (e *Error) hasCause() bool {
	return e.cause != nil && !strings.Contains(e.Message, e.cause.Error())
}

// Public returns the text that anybody may read: Message, unless InPublic has set another one. Errors that wrap e have
// that text in the place of e's Message.
func (e *Error) Public() string {
	if e.public != "" {
		return e.public
	}
	return e.Message
}

// Detail returns Public as a bare sentence: without the code in front and the host behind that Refuse puts there, for
// callers that get both in fields of their own.
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

// inherit takes over from the errors that err wraps what anybody may read of them.
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

// wrapped yields the outermost errors of type *Error in the tree of err.
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

// Unwrap returns what Errorf was given for %w, or WithCause.
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
	if e.hasCause() {
		attrs = append(attrs, slog.String("cause", e.cause.Error()))
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
	if own.public != "" {
		own.public += " on " + host
	}
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
		outer.inherit(err)
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
	return &Error{Code: e.Code, Message: e.Message, cause: e.cause, public: e.public, detail: e.Detail()}
}

// Of is the code of err; OK for nil.
func Of(err error) Code {
	if err == nil {
		return OK
	}
	return From(err).Code
}

const maxPanicText = 4 << 10

// PanicText returns the text of a value that was passed to panic, at most 4 KiB of it: of errors, Stringers and values of
// basic kinds. Of others it is the type, since values may contain themselves, and printing such ends the process.
func PanicText(v any) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("%T, whose Error or String method panics", v)
		}
	}()
	switch v := v.(type) {
	case error:
		return Clip(v.Error(), maxPanicText)
	case fmt.Stringer:
		return Clip(v.String(), maxPanicText)
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.String:
		return Clip(r.String(), maxPanicText)
	case reflect.Array, reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice,
		reflect.Struct, reflect.UnsafePointer:
		return fmt.Sprintf("%T", v)
	default:
		return fmt.Sprint(v)
	}
}
