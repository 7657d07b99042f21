package code

import (
	"fmt"
	"reflect"
	"time"
)

// Refuse returns the error of a refusal by the host itself. For peers that read nothing else the message says everything:
// "RESOURCE_EXHAUSTED: rate limited by partner-quota@r42 on orders-7, retry in 140ms".
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

// Remote marks e as read from a peer, and returns it. See Edge.
func Remote(e *Error) *Error {
	e.remote = true
	return e
}

// Unreached marks e as the error of a call that was never sent, since there was no endpoint or no connection, and returns
// it.
func Unreached(e *Error) *Error {
	e.unreached = true
	return e
}

// Edge is From for a handler's error that leaves its host: it drops the reason, rule, retry-after and host of an error that
// the handler got from a peer, which callers would take for ours.
func Edge(err error) *Error {
	e := From(err)
	if e == nil || !e.remote {
		return e
	}
	return &Error{Code: e.Code, Message: e.Message, cause: e.cause, public: e.public, detail: e.Detail()}
}

const maxPanicText = 4 << 10

// PanicText returns the text of a value that was passed to panic, at most 4 KiB of it, for errors, Stringers and basic
// kinds. For others it returns the type, since printing a value that contains itself ends the process.
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
