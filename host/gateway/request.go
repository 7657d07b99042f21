package gateway

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// reasonMethodNotAllowed is the reason of a 405: the method exists, but not under this HTTP method.
const reasonMethodNotAllowed = "method_not_allowed"

// request is an HTTP request, with the properties of the call from its line and headers.
type request struct {
	stream
	host   string // in refusals
	router *router

	family      *family // nil for plain requests
	service     string  // as the caller spells it, or exact where that is known
	method      string
	codec       wire.Codec
	contentType []string // of a result
	oneWay      bool
	query       bool      // the argument is in the query
	deadline    time.Time // when the caller gives up; zero: not given
	status      int       // of an error, where its code does not determine it; 0 otherwise
}

func (q *request) refuse(c code.Code, reason, what string) *code.Error {
	return code.Refuse(c, reason, what, "", q.host, 0)
}

func (q *request) bad(what string) *code.Error {
	return q.refuse(code.InvalidArgument, code.ReasonBadPayload, what)
}

func (q *request) tooLarge(what string) *code.Error {
	return q.refuse(code.ResourceExhausted, code.ReasonTooLarge, what)
}

// overloaded refuses a request because of the host's budget.
func (q *request) overloaded() *code.Error { return q.holding.conn.share.Budget().Refuse(q.host) }

func (q *request) expired() *code.Error {
	return q.refuse(code.DeadlineExceeded, code.ReasonExpired, "the caller's deadline passed before the call could begin")
}

func (q *request) cancelled() *code.Error {
	return q.refuse(code.Cancelled, code.ReasonCancelled, "the caller closed the request")
}

// timeouts are the headers for a caller's timeout, as gRPC, Connect and proxies define them.
var timeouts = []struct {
	header string
	parse  func(string) (time.Duration, bool)
	form   string
}{
	{"Grpc-Timeout", parseGRPCTimeout, "up to 8 digits and a unit H, M, S, m, u or n, such as 800m"},
	{"Connect-Timeout-Ms", parseConnectTimeout, "up to 10 digits, in milliseconds"},
	{"X-Request-Timeout", parseRequestTimeout, "a duration with a unit, such as 800ms"},
}

// maxTimeout is far in the future, and can be added to a time.
const maxTimeout = 10 * 365 * 24 * time.Hour

// readDeadline reads the caller's deadline: the shortest of several timeouts counts.
func (q *request) readDeadline() *code.Error {
	shortest, given := maxTimeout, false
	for i := range timeouts {
		t := &timeouts[i]
		for _, v := range q.r.Header[t.header] {
			d, ok := t.parse(v)
			if !ok {
				return q.bad("the header " + t.header + " is not " + t.form)
			}
			shortest, given = min(shortest, d), true
		}
	}
	switch {
	case !given:
		return nil
	case shortest <= 0:
		return q.expired()
	}
	q.deadline = time.Now().Add(shortest)
	if q.r.ContentLength != 0 && shortest < q.limits.BodyTimeout {
		q.readBy(q.deadline)
	}
	return nil
}

// late reports whether the caller has given up.
func (q *request) late() bool { return !q.deadline.IsZero() && !time.Now().Before(q.deadline) }

// parseGRPCTimeout parses the timeout of gRPC over HTTP/2.
func parseGRPCTimeout(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	unit, ok := map[byte]time.Duration{
		'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
	}[s[len(s)-1]]
	n, good := parseDigits(s[:len(s)-1], 8)
	switch {
	case n < 0:
		return -1, ok && good
	case n > int64(maxTimeout/time.Hour) && unit == time.Hour:
		return maxTimeout, good // eight digits of hours overflow a time.Duration
	}
	return time.Duration(n) * unit, ok && good
}

// parseConnectTimeout parses the timeout of Connect's protocol.
func parseConnectTimeout(s string) (time.Duration, bool) {
	n, ok := parseDigits(s, 10)
	return time.Duration(n) * time.Millisecond, ok
}

func parseRequestTimeout(s string) (time.Duration, bool) {
	d, err := time.ParseDuration(s)
	return d, err == nil
}

// parseDigits parses a number of at most maxLen digits. A negative one is a deadline that has passed, which clients may
// well compute.
func parseDigits(s string, maxLen int) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	plain := strings.TrimPrefix(s, "-")
	return n, err == nil && len(plain) <= maxLen && !strings.HasPrefix(s, "+")
}

// route determines the names of the method, and returns where a configured route or a GET leads, nil for other calls. For
// POST /{service}/{method} it only reads the names: the Handler looks them up.
func (q *request) route() (*destination, *code.Error) {
	q.family = familyOf(q.r.Header)
	get := q.r.Method == http.MethodGet || q.r.Method == http.MethodHead
	if d := q.router.match(q.r); d != nil {
		q.query = get
		q.service, q.method = d.target.service, d.target.method
		if len(d.wildcards) > 0 {
			q.router.routes.ServeHTTP(q.w, q.r) // sets the path values, see destination
		}
		return d, q.checkNames()
	}
	if e := q.readNames(); e != nil {
		return nil, e
	}
	if q.r.Method == http.MethodPost {
		return nil, nil
	}
	bodied := q.family != nil && q.r.ContentLength != 0
	if d := q.router.byGet(q.service, q.method); get && d != nil && !bodied {
		q.service, q.method, q.query = d.target.service, d.target.method, true
		return d, nil
	}
	if q.family != nil && (get || q.r.Method == http.MethodPut) {
		return nil, nil // the gateways of these headers read the body, whatever the HTTP method
	}
	return nil, q.notAllowed()
}

// readNames reads the names from /{service}/{method}, and those that the path lacks from the family's headers.
func (q *request) readNames() *code.Error {
	service, method, ok := cutPath(q.r.URL)
	if !ok {
		return q.notAllowed()
	}
	q.service, q.method = service, method
	if q.family == nil {
		if method == "" {
			return q.notAllowed()
		}
		return nil
	}
	if service == "" {
		q.service = q.family.get(q.r.Header, famServicePath)
	}
	if method == "" {
		q.method = q.family.get(q.r.Header, famServiceMethod)
	}
	if q.service == "" || q.method == "" {
		return q.notAllowed()
	}
	return q.checkNames()
}

// checkNames refuses headers that name another method than the path: filters in front of this host check the path.
func (q *request) checkNames() *code.Error {
	if q.family == nil {
		return nil
	}
	for _, p := range []struct{ header, name string }{{famServicePath, q.service}, {famServiceMethod, q.method}} {
		values := q.r.Header[q.family.keys[p.header]]
		if len(values) > 1 {
			return q.bad("more than one header " + q.family.keys[p.header])
		}
		if len(values) == 1 && values[0] != "" && !strings.EqualFold(values[0], p.name) {
			return q.bad("the header " + q.family.keys[p.header] + " names another method than the path")
		}
	}
	return nil
}

// offered returns the methods that the path offers, for any HTTP method.
func (q *request) offered() offer {
	service, method, ok := cutPath(q.r.URL)
	switch {
	case !ok:
		service, method = "", ""
	case q.family != nil: // its headers give what the path lacks
		service, method = q.service, q.method
	}
	return q.router.offered(q.r, service, method, q.family != nil)
}

// notAllowed refuses an HTTP method that the path does not offer, or an unknown path.
func (q *request) notAllowed() *code.Error {
	o := q.offered()
	if len(o.methods) == 0 {
		return q.unknownPath()
	}
	q.service, q.method = "", "" // parts of a path that may not be names at all
	if len(o.targets) == 1 {
		q.service, q.method = o.targets[0].service, o.targets[0].method
	}
	q.w.Header().Set("Allow", strings.Join(o.methods, ", "))
	q.status = http.StatusMethodNotAllowed
	what := q.r.Method + " is not allowed here, use " + strings.Join(o.methods, " or ")
	e := q.refuse(code.Unimplemented, reasonMethodNotAllowed, what)
	if q.r.Method == http.MethodGet && o.builtIn != (names{}) {
		return e.WithAdvice(fmt.Sprintf("to call it by GET add %q to gateway.get", o.builtIn))
	}
	return e
}

// unknownPath refuses an unknown path, with the Handler's error if it contains names.
func (q *request) unknownPath() *code.Error {
	if q.service == "" || q.method == "" {
		return q.refuse(code.Unimplemented, code.ReasonUnknownMethod, "no such path: calls are POST /{service}/{method}")
	}
	return q.router.unknown(q.service, q.method)
}

// readFamily reads the family's headers that become part of the frame, except metadata and codec.
func (q *request) readFamily() *code.Error {
	if q.family == nil {
		return nil
	}
	h := q.r.Header
	q.oneWay = q.family.flag(h, famOneWay)
	if id := q.family.get(h, famMessageID); id != "" {
		if _, err := strconv.ParseUint(id, 10, 64); err != nil {
			return q.bad("the header " + q.family.keys[famMessageID] + " is not an unsigned 64-bit integer")
		}
	}
	return nil
}

// readCodec reads the codec of the request, which is also the response's.
func (q *request) readCodec() *code.Error {
	if q.family != nil {
		if v := q.family.get(q.r.Header, famSerializeType); v != "" {
			return q.readSerializeType(v)
		}
	}
	types := q.r.Header["Content-Type"]
	if len(types) == 0 || q.query {
		q.codec, q.contentType = wire.JSON, jsonMedia.reply
		return nil
	}
	m, ok := mediaTypes[types[0]]
	if !ok {
		m, ok = parseMedia(types[0])
	}
	if !ok || len(types) > 1 {
		known := strings.Join(knownTypes(), ", ")
		q.w.Header().Set("Accept-Post", known)
		return q.refuse(code.InvalidArgument, code.ReasonUnknownCodec, "unsupported content type, use one of "+known)
	}
	q.codec, q.contentType = m.codec, m.reply
	return nil
}

func (q *request) readSerializeType(v string) *code.Error {
	n, err := strconv.ParseUint(v, 10, 8)
	if err != nil || n > uint64(wire.Thrift) {
		return q.refuse(code.InvalidArgument, code.ReasonUnknownCodec,
			"the header "+q.family.keys[famSerializeType]+" is not one of 0 (raw), 1 (json), 2 (protobuf), 3 (msgpack), 4 (thrift)")
	}
	q.codec = wire.Codec(n)
	q.contentType = replyTypes[q.codec]
	return nil
}

// compressed reports whether the body is gzipped, by Content-Encoding or by the family's header.
func (q *request) compressed() (bool, *code.Error) {
	byFamily := q.family != nil && q.family.get(q.r.Header, famCompress) == "1"
	encodings := q.r.Header["Content-Encoding"]
	if len(encodings) == 0 {
		return byFamily, nil
	}
	switch e := strings.ToLower(strings.TrimSpace(strings.Join(encodings, ","))); e {
	case "gzip", "x-gzip":
		return true, nil
	case "", "identity":
		return byFamily, nil
	}
	q.w.Header().Set("Accept-Encoding", "gzip")
	return false, q.refuse(code.InvalidArgument, code.ReasonUnknownCodec, "unsupported content encoding, use gzip or none")
}

// preflight answers OPTIONS, which browsers send before a call from another origin. It returns an error for an unknown path
// or an origin that is not allowed.
func (q *request) preflight(o *origins) *code.Error {
	methods := q.offered().methods
	if service, method, ok := cutPath(q.r.URL); ok && len(methods) == 0 {
		if method != "" {
			q.service, q.method = service, method
			return q.unknownPath()
		}
		methods = []string{http.MethodPost} // headers of the call, which are not sent yet, may name the rest
	}
	if len(methods) == 0 {
		return q.unknownPath()
	}
	h, in := q.w.Header(), q.r.Header
	if origin := in.Get("Origin"); origin != "" && in.Get("Access-Control-Request-Method") != "" {
		if !o.allows(origin) {
			return q.foreign()
		}
		h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
		if asked := in.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", headerText(asked))
		}
		h.Set("Access-Control-Max-Age", "600")
	}
	h.Set("Allow", "OPTIONS, "+strings.Join(methods, ", "))
	return nil
}

// foreign refuses the call of a page whose origin is not allowed.
func (q *request) foreign() *code.Error {
	what, advice := "cross-origin requests are not allowed", "to allow them, add the origin to gateway.cors.allowOrigins"
	switch origin := q.r.Header.Get("Origin"); origin {
	case "":
	case "null":
		what, advice = "requests without an origin (of files, sandboxed frames) are not allowed", "only origins in gateway.cors.allowOrigins are"
	default:
		what = "cross-origin requests of " + code.Clip(headerText(origin), 100) + " are not allowed"
		advice = "to allow them, add the origin to gateway.cors.allowOrigins"
	}
	return q.refuse(code.PermissionDenied, code.ReasonDenied, what).WithAdvice(advice)
}

// misdirected refuses a request meant for another machine.
func (q *request) misdirected() *code.Error {
	name := code.Clip(headerText(q.r.Host), 100)
	return q.refuse(code.PermissionDenied, code.ReasonDenied, "the Host header does not name this machine, use localhost or the IP address").
		WithAdvice("the request was for " + name + ", which can be added to gateway.hosts; trusted proxies (auth.trustedProxies) may send any")
}
