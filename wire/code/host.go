package code

import (
	"fmt"
	"reflect"
	"time"
)

// Refuse returns the host's own error for a call that it refuses. The message includes everything, for peers that read
// nothing else: "RESOURCE_EXHAUSTED: rate limited by partner-quota@r42 on orders-7, retry in 140ms".
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

// Remote marks e as received from a peer, and returns it. See Edge.
func Remote(e *Error) *Error {
	e.remote = true
	return e
}

// Unreached marks e as the error of a call that was never sent, for lack of an endpoint or a connection, and returns it.
func Unreached(e *Error) *Error {
	e.unreached = true
	return e
}

// Edge is like From, for a handler's error that is sent to the caller. It drops the reason, rule, retry-after and host of an
// error that the handler received from a peer, since the caller would attribute them to this host.
func Edge(err error) *Error {
	e := From(err)
	if e == nil || !e.remote {
		return e
	}
	return &Error{Code: e.Code, Message: e.Message, cause: e.cause, public: e.public, detail: e.Detail()}
}

const maxPanicText = 4 << 10

// PanicText returns the text of a recovered value, cut at 4 KiB, if it is an error, a Stringer or of a basic kind. For
// others it returns the type, since printing a value that contains itself would end the process.
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
