package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// response writes the response to a request: the reply of its call, or an error.
type response struct {
	*request
	exposeInternal bool
	trace          string // the traceparent that the handler has set in the request
}

// keptPlain bounds how much memory of a reply that is sent compressed is reused.
const keptPlain = 4 << 10

// maxUnsized is the length up to which net/http sets Content-Length by itself.
const maxUnsized = 2 << 10

// succeed writes the reply of a call, unless its metadata is too large for headers.
func (s *response) succeed(res *wire.Frame) *code.Error {
	meta := replyMeta(res.Metadata)
	if len(meta) > s.limits.MaxMetadataBytes {
		return s.refuse(code.Internal, code.ReasonBadReply, "the metadata of the reply does not fit into a header").
			WithAdvice("raise listeners[].limits.maxMetadataBytes")
	}
	h := s.w.Header()
	h["Content-Type"] = s.contentType
	if s.family != nil {
		s.echoFamily()
		s.family.set(h, famMeta, meta)
	} else if meta != "" {
		h[easymicroFamily.keys[famMeta]] = []string{meta}
	}
	if s.query {
		h.Set("Cache-Control", "no-store")
	}
	body := res.Payload
	if s.codec == wire.JSON && s.family == nil { // clients of the older gateways may compare bytes
		body = endLine(body)
		res.Payload = body // for its memory
	}
	if compressed, ok := compress(h, s.r.Header["Accept-Encoding"], s.codec == wire.Raw, body); ok {
		body = compressed
		if cap(res.Payload) > keptPlain {
			res.Payload = nil // the response may wait for long, and is charged as it is sent
		}
	}
	if len(body) > maxUnsized {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	s.write(body)
	return nil
}

// succeedEmpty responds without a body.
func (s *response) succeedEmpty(status int) {
	s.writeBy(s.limits.WriteTimeout)
	s.w.WriteHeader(status)
}

// endLine ends a line of JSON, for terminals and files.
func endLine(body []byte) []byte {
	if len(body) == 0 || body[len(body)-1] == '\n' {
		return body
	}
	return append(body, '\n')
}

// echoFamily sets the family's headers that every response has. They repeat those of the request, as from its gateways.
func (s *response) echoFamily() {
	f, in, out := s.family, s.r.Header, s.w.Header()
	f.set(out, famVersion, headerText(f.get(in, famVersion)))
	f.set(out, famMessageID, f.get(in, famMessageID))
	f.set(out, famSerializeType, strconv.Itoa(int(s.codec)))
	f.set(out, famServicePath, headerText(s.service))
	f.set(out, famServiceMethod, headerText(s.method))
}

// problemDetails is the body of an error, the members of RFC 9457 first.
type problemDetails struct {
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

// fail responds with an error.
func (s *response) fail(e *code.Error) {
	e = s.show(e)
	if s.status == 0 {
		s.status = e.HTTPStatus()
	}
	s.errorHeaders(e)
	if t, ok := s.router.resolve(s.service, s.method); ok {
		s.service, s.method = t.Service, t.Method
	}
	title := http.StatusText(s.status)
	if s.status == code.StatusClientClosedRequest {
		title = "Client Closed Request"
	}
	body, _ := json.Marshal(problemDetails{ // strings and numbers never fail
		Type: "about:blank", Title: title, Status: s.status, Detail: e.Detail(), Code: e.Code.String(),
		Reason: e.Reason, Rule: e.Rule, Service: s.service, Method: s.method, Host: e.Host,
		RetryAfterMS: int64((e.RetryAfter + time.Millisecond - 1) / time.Millisecond), TraceID: s.traceID(),
	})
	body = endLine(body)
	h := s.w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	s.w.WriteHeader(s.status)
	s.write(body)
}

// handlerPanicked is the text of a panic for callers.
const handlerPanicked = "the handler panicked"

// show removes from an error what callers must not see. The host's own texts are meant for callers.
func (s *response) show(e *code.Error) *code.Error {
	if e.Code != code.Internal || e.Reason != code.ReasonPanic || e.Own() {
		return e
	}
	if s.exposeInternal {
		all := *e
		return all.InPublic("")
	}
	return s.refuse(code.Internal, code.ReasonPanic, handlerPanicked)
}

// errorHeaders sets the headers that an HTTP client understands without reading the body.
func (s *response) errorHeaders(e *code.Error) {
	h := s.w.Header()
	if s.family != nil {
		s.echoFamily()
		s.family.set(h, famStatus, "Error")
		s.family.set(h, famError, headerText(e.Public()))
	}
	switch s.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if e.Own() && code.Transient(e.Reason) || !e.Own() && e.RetryAfter > 0 {
			h.Set("Retry-After", strconv.FormatInt(wholeSeconds(e.RetryAfter), 10))
		}
	case http.StatusUnauthorized:
		challenge := "Bearer"
		if s.r.Header.Get("Authorization") != "" {
			challenge = `Bearer error="invalid_token"`
		}
		h.Set("WWW-Authenticate", challenge)
	}
	if e.Own() && e.Reason == code.ReasonDraining {
		h.Set("Connection", "close")
	}
}

// wholeSeconds rounds d up to seconds, and to at least one.
func wholeSeconds(d time.Duration) int64 { return max(1, int64((d+time.Second-1)/time.Second)) }

// traceID returns the trace in which the call was recorded, or else its caller's.
func (s *response) traceID() string {
	if id := traceID(s.trace); id != "" {
		return id
	}
	if v := s.r.Header["Traceparent"]; len(v) == 1 {
		return traceID(v[0])
	}
	return ""
}
