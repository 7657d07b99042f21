package wire

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// maxErrorText limits the text of an error. Sent twice, it stays within a client's default limit for metadata.
const maxErrorText = 24 << 10

// maxPublicText limits the public text of an error.
const maxPublicText = 4 << 10

// maxRetryAfter limits how long a peer can make a client wait.
const maxRetryAfter = 24 * time.Hour

// SetError makes f the response of a failed call: it sets the status, the text under the keys of rpcx and of easymicro 2019,
// and the other fields of e under our keys. It keeps other metadata and removes the payload. Texts are cut at 24 KiB.
func SetError(f *Frame, e *code.Error) {
	f.Status, f.Compression, f.Payload = StatusError, NoCompression, f.Payload[:0]
	text := errorText(e)
	m := &f.Metadata
	m.Set(MetaError, text)
	m.Set(MetaErrorEasymicro, text)
	m.Set(MetaCode, e.Code.String())
	setIfAny(m, MetaReason, e.Reason)
	setIfAny(m, MetaRule, e.Rule)
	setIfAny(m, MetaHost, e.Host)
	public := e.Public()
	if e.Reason == "" && e.Host == "" {
		public = e.Detail() // readers take it for a handler's text
	}
	if public != e.Message {
		m.Set(MetaPublic, code.Clip(public, maxPublicText))
	} else {
		m.Del(MetaPublic)
	}
	if e.RetryAfter > 0 {
		up := e.RetryAfter + time.Millisecond - 1
		m.Set(MetaRetryAfter, strconv.FormatInt(up.Milliseconds(), 10))
	} else {
		m.Del(MetaRetryAfter)
	}
}

// errorText never returns "": a stock client takes a response without text for a success.
func errorText(e *code.Error) string {
	switch {
	case e.Message == "":
		return e.Code.String()
	case len(e.Message) <= maxErrorText:
		return e.Message // verbatim, even if it is not UTF-8
	}
	return code.Clip(e.Message, maxErrorText)
}

func setIfAny(m *Metadata, key, value string) {
	if value == "" {
		m.Del(key)
		return
	}
	m.Set(key, value)
}

// ErrorOf returns the error in a response, or nil. It reads the text of rpcx or of easymicro 2019. If the response has no
// code, a text that is known from stock peers determines it; otherwise the code is UNKNOWN. The error is marked as remote,
// see code.Edge.
func ErrorOf(f *Frame) *code.Error { return errorOf(f, f) }

// errorOf is like ErrorOf, for the response to the request called.
func errorOf(f, called *Frame) *code.Error {
	if f.Status == StatusNormal {
		return nil
	}
	e := &code.Error{
		Code:       code.Unknown,
		Reason:     f.Metadata.Get(MetaReason),
		Rule:       f.Metadata.Get(MetaRule),
		Host:       f.Metadata.Get(MetaHost),
		RetryAfter: retryAfter(f.Metadata.Get(MetaRetryAfter)),
	}
	if c, ok := code.Parse(f.Metadata.Get(MetaCode)); ok && c != code.OK {
		e.Code = c
	}
	for _, key := range []string{MetaError, MetaErrorEasymicro} {
		if e.Message = f.Metadata.Get(key); e.Message != "" {
			break
		}
	}
	e = code.Remote(e).InPublic(f.Metadata.Get(MetaPublic))
	if e.Message == "" {
		e.Message = "the peer returned an error without a message"
	} else if lacksCode(f) {
		translate(e, called, len(f.Payload) > 0)
	}
	return e
}

// lacksCode reports whether an error response has a text only.
func lacksCode(f *Frame) bool {
	_, codes := f.Metadata.Lookup(MetaCode)
	return !codes
}

func retryAfter(ms string) time.Duration {
	n, err := strconv.ParseUint(ms, 10, 63)
	if err != nil {
		return 0
	}
	return time.Duration(min(n, uint64(maxRetryAfter.Milliseconds()))) * time.Millisecond
}

// foreign maps a text, or its prefix and suffix, to a code when the peer sends none. Only the texts in notFoundPrefixes
// prove that the call was not run: a handler may return an error of its own client.
type foreign struct {
	whole, begin, end string
	code              code.Code
	reason            string
	public            string // public text; "": all of it
	beforeCall        bool   // the server returns it before it calls the handler
}

// foreignTexts lists the error texts of servers of rpcx and easymicro 2019, and of clients that their handlers use.
var foreignTexts = []foreign{
	{whole: "request reached rate limit", code: code.ResourceExhausted, beforeCall: true}, // rpcx's plugins
	{whole: "invalid token", code: code.Unauthenticated, beforeCall: true},                // the AuthFunc of rpcx's examples
	{begin: "can not find codec for ", code: code.InvalidArgument, beforeCall: true},
	{begin: "reflect: call of reflect.Value.SetBytes on ", end: " Value", code: code.InvalidArgument, beforeCall: true}, // raw bytes for a struct
	{end: " is not a proto.Unmarshaler", code: code.InvalidArgument, beforeCall: true},
	{end: " is not a proto.Unmarshaler  or pb.Message", code: code.InvalidArgument, beforeCall: true},
	{end: " is not a proto.Marshaler", code: code.Internal, reason: code.ReasonBadReply},
	{end: " is not a proto.Marshaler or pb.Message", code: code.Internal, reason: code.ReasonBadReply},
	{begin: "[service internal error]: ", code: code.Internal, reason: code.ReasonPanic, public: "the handler panicked"}, // with its arguments and stack
	{whole: "http: Server closed", code: code.Unavailable},
	{end: "context deadline exceeded", code: code.DeadlineExceeded, reason: code.ReasonTimeout},
	{end: "context canceled", code: code.Cancelled, reason: code.ReasonCancelled},

	{whole: "connection is shut down", code: code.Unavailable},
	{whole: "connection is shutdown", code: code.Unavailable},
	{whole: "xClient is shut down", code: code.Unavailable},
	{whole: "can not found any server", code: code.Unavailable},
	{whole: "selected server is unavailable", code: code.Unavailable},
	{whole: "not avaliable worker node", code: code.Unavailable}, //nolint:misspell // as they spell it
	{whole: "no avaliable worker nodes", code: code.Unavailable}, //nolint:misspell // as they spell it
	{whole: "breaker open", code: code.Unavailable},
	{whole: "breaker time out", code: code.DeadlineExceeded},
	{whole: "request timeout", code: code.DeadlineExceeded},
}

// notFoundPrefixes are the prefixes of a stock server's error for an unknown service or method. The name follows.
var notFoundPrefixes = []string{
	"rpcx: can't find service ", "rpcx: can't find method ",
	"easymicro: can't find service ", "easymicro: can't find method ",
	"rpc: can't find service ", "rpc: can't find method ", // net/rpc
}

// translate sets the code for the text of a peer that sends no codes. called is the request; ran reports that the response
// has a payload, which only a handler can make.
func translate(e *code.Error, called *Frame, ran bool) {
	for _, begin := range notFoundPrefixes {
		if name, ok := strings.CutPrefix(e.Message, begin); ok {
			e.Code = code.Unimplemented
			if !ran && calledAs(name, called) {
				e.Reason = code.ReasonUnknownMethod
			}
			return
		}
	}
	for i := range foreignTexts {
		if t := &foreignTexts[i]; t.is(e.Message) && (!t.beforeCall || !ran) {
			e.Code, e.Reason = t.code, t.reason
			_ = e.InPublic(t.public)
			return
		}
	}
}

// calledAs reports whether f called the name that a server cannot find. If not, a call made by its handler did.
func calledAs(name string, f *Frame) bool {
	return name != "" && (name == f.Service || name == f.Method || name == f.Service+"."+f.Method || name == " for func raw function")
}

func (t *foreign) is(text string) bool {
	if t.whole != "" {
		return text == t.whole
	}
	rest, ok := strings.CutSuffix(text, t.end)
	if !ok || !strings.HasPrefix(text, t.begin) {
		return false
	}
	switch {
	case t.begin != "" || rest == "":
		return true
	case t.end[0] == ' ': // after the name of a type
		return !strings.Contains(rest, " ")
	}
	return strings.HasSuffix(rest, ": ") // wrapped by another error
}

// failed returns an error of a Conn. It is marked as remote, see code.Edge: if a handler returns it, the reason must not be
// taken for that of the handler's own call.
func failed(c code.Code, reason, format string, args ...any) *code.Error {
	return code.Remote(code.Errorf(c, format, args...).WithReason(reason))
}

// connectionLost is the public text of a lost connection. The full text has addresses.
const connectionLost = "connection lost"

// noFrameError returns the error of a connection that ended with err before the first frame. It does not quote what was received.
func noFrameError(err error) *code.Error {
	var bad *FrameError
	var refused *code.Error
	why := "not an rpcx server"
	switch {
	case errors.As(err, &refused):
		return failed(code.Unavailable, code.ReasonNoEndpoint, "%s", refused.Message)
	case errors.As(err, &bad):
		why += ": it sent something that is not a frame"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		why += ", or access was denied: it closed the connection without answering a heartbeat"
	case errors.Is(err, context.DeadlineExceeded):
		why += ", or overloaded: a heartbeat was not answered in time"
	default:
		return failed(code.Unavailable, code.ReasonNoEndpoint, "connection lost before the first frame: %w", err)
	}
	return failed(code.Unavailable, code.ReasonNoEndpoint, "%s", why)
}

// withoutPeerText returns err without anything that the peer sent.
func withoutPeerText(err error) error {
	var bad *FrameError
	if errors.As(err, &bad) {
		return &FrameError{Reason: bad.Reason, Fatal: true, detail: bad.Reason}
	}
	return err
}

// connLost returns the error of calls in flight when the connection ended.
func connLost(err error) *code.Error {
	return failed(code.Unavailable, code.ReasonConnectionLost, "%s: %w", connectionLost, withoutPeerText(err)).InPublic(connectionLost)
}

// connEnded returns the error of calls after the connection ended.
func connEnded(err error) *code.Error {
	return failed(code.Unavailable, code.ReasonNoEndpoint, "%s: %w", connectionLost, withoutPeerText(err)).InPublic(connectionLost)
}

// ended returns the error of a call whose context ended.
func ended(err error) *code.Error {
	if errors.Is(err, context.DeadlineExceeded) {
		return failed(code.DeadlineExceeded, code.ReasonTimeout, "no answer in time: %w", err)
	}
	return failed(code.Cancelled, code.ReasonCancelled, "call cancelled: %w", err)
}

// badReply returns the error of a call whose response exceeds a limit or cannot be decoded. The reason of err would wrongly
// mean that the call was not run.
func badReply(err error) *code.Error {
	return failed(code.Internal, code.ReasonBadReply, "the response: %w", err)
}
