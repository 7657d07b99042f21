package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// longReply is the length from which on net/http would send a reply in chunks, if it were not told its length.
const longReply = 2 << 10

// succeed writes the reply of a call, unless it is too large for headers.
func (x *exchange) succeed() *code.Error {
	meta := replyMeta(x.res.Metadata)
	if len(meta) > x.g.limits.MaxMetadataBytes {
		return x.refuse(code.Internal, code.ReasonBadReply, "the reply has more metadata than fits into a header").
			WithAdvice("listeners[].limits.maxMetadataBytes allows more")
	}
	h := x.w.Header()
	h["Content-Type"] = x.contentType
	if x.family != nil {
		x.echoFamily()
		x.family.set(h, famMeta, meta)
	} else if meta != "" {
		h[easymicroFamily.keys[famMeta]] = []string{meta}
	}
	if x.query {
		h.Set("Cache-Control", "no-store")
	}
	body := x.res.Payload
	if x.codec == wire.JSON && x.family == nil { // clients of the older gateways may compare bytes
		body = endLine(body)
		x.res.Payload = body // for its memory
	}
	body = x.compress(body)
	if len(body) > longReply {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	x.write(body)
	return nil
}

// endLine ends a line of JSON, for terminals and files. What is empty is no line.
func endLine(body []byte) []byte {
	if len(body) == 0 || body[len(body)-1] == '\n' {
		return body
	}
	return append(body, '\n')
}

// succeedEmpty answers without a body.
func (x *exchange) succeedEmpty(status int) {
	x.writeBy(x.g.limits.WriteTimeout)
	x.w.WriteHeader(status)
}

// An answer is written in steps, each within the write timeout. Over HTTP/1 any byte that the caller takes begins it anew,
// see conn.Write. Over HTTP/2 the answers of a connection go side by side: as long as its peer takes bytes of any, a step
// has far more time, and the Server ends what waits for a silent one.
const (
	writeStep    = 256 << 10
	writeStep2   = 16 << 10
	writeFactor2 = 10
)

// write writes a body in steps, so that a caller with a slow line gets a long one too. It fails only with the
// connection, which nobody is left to be told of.
func (x *exchange) write(body []byte) {
	held := cap(body) // all of it, until the last byte is taken
	x.holding.answer(held)
	defer func() { x.holding.taken(held) }()
	size, timeout := writeStep, x.g.limits.WriteTimeout
	if x.r.ProtoMajor == 2 {
		size, timeout = writeStep2, writeFactor2*timeout
		if c := x.holding.conn; c != nil {
			x.transfer.conn, x.transfer.w, x.transfer.answer = c, x.w, true
			c.server.transfers.begin(&x.transfer)
			defer c.server.transfers.leave(&x.transfer)
		}
	}
	for {
		x.writeBy(timeout)
		step := body[:min(len(body), size)]
		if _, err := x.w.Write(step); err != nil {
			return
		}
		if body = body[len(step):]; len(body) == 0 {
			return
		}
	}
}

// writeBy cuts off a caller that does not read its answer.
func (x *exchange) writeBy(timeout time.Duration) {
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(timeout))
}

// problem is the body of an error, RFC 9457's members first.
type problem struct {
	Type         string `json:"type"`
	Title        string `json:"title"`
	Status       int    `json:"status"`
	Detail       string `json:"detail"`
	Code         string `json:"code"`
	Reason       string `json:"reason,omitempty"`
	Rule         string `json:"rule,omitempty"`
	Service      string `json:"service,omitempty"`
	Method       string `json:"method,omitempty"`
	Host         string `json:"host,omitempty"`
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"`
	TraceID      string `json:"trace_id,omitempty"`
}

// fail answers with an error.
func (x *exchange) fail(e *code.Error) {
	e = x.show(e)
	if x.status == 0 {
		x.status = e.HTTPStatus()
	}
	x.errorHeaders(e)
	if t, ok := x.g.resolve(x.service, x.method); ok {
		x.service, x.method = t.Service, t.Method
	}
	p := problem{
		Type: "about:blank", Title: title(x.status), Status: x.status, Detail: e.Detail(), Code: e.Code.String(),
		Reason: e.Reason, Rule: e.Rule, Service: x.service, Method: x.method, Host: e.Host,
		RetryAfterMS: int64((e.RetryAfter + time.Millisecond - 1) / time.Millisecond), TraceID: x.traceID(),
	}
	body, _ := json.Marshal(p) // texts and numbers always can be
	body = endLine(body)
	h := x.w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	x.w.WriteHeader(x.status)
	x.write(body)
}

// show leaves out of an error what callers must not see. The host's own words are made for them already.
func (x *exchange) show(e *code.Error) *code.Error {
	if e.Code != code.Internal || e.Reason != code.ReasonPanic || e.Own() {
		return e
	}
	if x.g.exposeInternal {
		all := *e
		return all.InPublic("")
	}
	return x.refuse(code.Internal, code.ReasonPanic, handlerPanicked)
}

// worthRetrying are the reasons of the host's own refusals that pass with time.
var worthRetrying = map[string]bool{code.ReasonRateLimited: true, code.ReasonOverloaded: true, code.ReasonBreakerOpen: true}

// errorHeaders sets what an HTTP client understands without reading the body.
func (x *exchange) errorHeaders(e *code.Error) {
	h := x.w.Header()
	if x.family != nil {
		x.echoError(e.Public())
	}
	switch x.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if e.Own() && worthRetrying[e.Reason] || !e.Own() && e.RetryAfter > 0 {
			h.Set("Retry-After", strconv.FormatInt(seconds(e.RetryAfter), 10))
		}
	case http.StatusUnauthorized:
		challenge := "Bearer"
		if x.r.Header.Get("Authorization") != "" {
			challenge = `Bearer error="invalid_token"`
		}
		h.Set("WWW-Authenticate", challenge)
	}
	if e.Own() && e.Reason == code.ReasonDraining {
		h.Set("Connection", "close")
	}
}

// seconds is d in whole seconds, rounded up, and at least one.
func seconds(d time.Duration) int64 {
	return max(1, int64((d+time.Second-1)/time.Second))
}

// traceID is the trace that the call was recorded in, or else its caller's.
func (x *exchange) traceID() string {
	if id := traceID(x.trace); id != "" {
		return id
	}
	if v := x.r.Header["Traceparent"]; len(v) == 1 {
		return traceID(v[0])
	}
	return ""
}

func title(status int) string {
	if status == code.StatusClientClosedRequest {
		return "Client Closed Request"
	}
	return http.StatusText(status)
}
