package gateway

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// metadataHeaders are the HTTP headers that become metadata, sorted by name: the configured ones and those of W3C Trace
// Context. The family's Meta header becomes metadata too, and Authorization the token.
type metadataHeaders []metadataHeader

type metadataHeader struct {
	name   string // of the metadata
	header string // canonical
}

// forwarded are the headers that always become metadata, of the same name.
var forwarded = metadataHeaders{{"traceparent", "Traceparent"}, {"tracestate", "Tracestate"}, {"baggage", "Baggage"}}

// identityKeys are keys, folded by plain, that other systems may trust as the caller's identity.
var identityKeys = map[string]bool{
	"authorization": true, "proxy_authorization": true, "cookie": true, "caller": true, "identity": true,
	"forwarded": true, "x_real_ip": true,
}

// reserved reports whether a metadata key is reserved, or could be mistaken for a reserved one.
func reserved(key string) bool {
	k := plain(key)
	return strings.HasPrefix(k, "__") || strings.HasPrefix(k, "x_em_") || strings.HasPrefix(k, "x_forwarded_") ||
		strings.HasPrefix(k, "easymicro_") || strings.HasPrefix(k, "x_rpcx_") || identityKeys[k]
}

// plain folds spellings of a key that proxies and languages treat as equal: case, dashes and dots for underscores, and
// whitespace and control characters.
func plain(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		case r == '-' || r == '.':
			return '_'
		case r <= ' ' || r == 0x7f || r == 0xa0 || r == 0xfeff || 0x2000 <= r && r <= 0x200f:
			return -1
		}
		return r
	}, key)
}

// CheckMetadata returns the mistakes in Options.Metadata.
func CheckMetadata(headers map[string]string) OptionErrors {
	_, errs := newMetadataHeaders(headers)
	return errs
}

// messageHeaders describe the connection or the message, or are read by the gateway itself.
var messageHeaders = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true,
	"Upgrade": true, "Host": true, "Content-Length": true, "Content-Type": true, "Content-Encoding": true, "Expect": true,
}

// newMetadataHeaders checks and sorts the headers that become metadata. Names must differ in more than case, dashes and
// dots.
func newMetadataHeaders(headers map[string]string) (list metadataHeaders, errs OptionErrors) {
	names, taken := make(map[string]string), make(map[string]string)
	for _, p := range forwarded {
		names[plain(p.name)], taken[p.header] = p.name, p.name
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		at, header := "gateway.metadata."+name, http.CanonicalHeaderKey(headers[name])
		switch {
		case name == "" || len(name) > 128 || strings.ContainsFunc(name, unprintable):
			errs.add(at, "the name %q must be 1 to 128 printable characters without whitespace", code.Clip(name, 128))
		case reserved(name):
			errs.add(at, "the name %s is reserved for the caller's identity or the protocol", name)
		case names[plain(name)] != "":
			errs.add(at, "the name %s is taken by %s: callers and proxies may confuse them", name, names[plain(name)])
		case !isToken(header):
			errs.add(at, "%q is not a valid name of an HTTP header", code.Clip(headers[name], 128))
		case messageHeaders[header]:
			errs.add(at, "the header %s is about the connection or the message, and not for handlers", header)
		case reserved(header):
			errs.add(at, "the header %s is reserved for the caller's identity (auth) or the gateway itself", header)
		case taken[header] != "":
			errs.add(at, "the header %s already becomes the metadata %s", header, taken[header])
		default:
			list = append(list, metadataHeader{name, header})
		}
		names[plain(name)], taken[header] = name, name
	}
	return list, errs
}

func unprintable(r rune) bool { return r <= ' ' || r == 0x7f || r > 0x7e }

// isToken reports whether s is a valid name of a header.
func isToken(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return unprintable(r) || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
	})
}

// read fills the frame's metadata: first the caller's own without reserved keys, then the gateway's.
func (hs metadataHeaders) read(q *request, m *wire.Metadata) *code.Error {
	if q.family != nil {
		for _, query := range q.r.Header[q.family.keys[famMeta]] {
			if !hs.appendQuery(m, query, q.limits.MaxMetadataPairs) {
				return q.bad("the header " + q.family.keys[famMeta] + " is not a valid query string")
			}
		}
	}
	for _, p := range forwarded {
		if v := q.r.Header[p.header]; len(v) > 0 {
			m.Set(p.name, strings.Join(v, ","))
		}
	}
	if e := hs.readConfigured(q, m); e != nil {
		return e
	}
	if auth := q.r.Header["Authorization"]; len(auth) > 1 {
		return q.bad("more than one header Authorization")
	} else if len(auth) == 1 {
		m.Set(wire.MetaAuth, token(auth[0]))
	}
	return checkMetadata(q, *m)
}

// readConfigured adds the configured headers. Proxies in front see and set headers, but pass on the family's Meta header
// unread. So the two must not differ, and a header that appears twice was not set by a proxy.
func (hs metadataHeaders) readConfigured(q *request, m *wire.Metadata) *code.Error {
	for _, p := range hs {
		values := q.r.Header[p.header]
		if len(values) == 0 {
			continue
		}
		if len(values) > 1 {
			return q.bad("more than one header " + p.header)
		}
		if other, ok := m.Lookup(p.name); ok && other != values[0] {
			return q.bad("the headers " + p.header + " and " + q.family.prefix + famMeta + " give " + p.name + " different values")
		}
		m.Set(p.name, values[0])
	}
	return nil
}

func checkMetadata(q *request, m wire.Metadata) *code.Error {
	if len(m) > q.limits.MaxMetadataPairs {
		return q.tooLarge("too many metadata pairs")
	}
	size := 0
	for _, p := range m {
		size += 8 + len(p[0]) + len(p[1])
	}
	if size > q.limits.MaxMetadataBytes {
		return q.tooLarge("too much metadata")
	}
	return nil
}

// appendQuery adds the pairs of a query string in its order, each key once and at most one more than the limit. The first
// of equal keys counts, as in the gateways that define this header; keys that differ only by case are equal, as in HTTP.
func (hs metadataHeaders) appendQuery(m *wire.Metadata, query string, maxPairs int) bool {
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		key, errKey := url.QueryUnescape(k)
		value, errValue := url.QueryUnescape(v)
		if errKey != nil || errValue != nil {
			return false
		}
		if key == "" || reserved(key) || len(*m) > maxPairs {
			continue
		}
		same := func(p [2]string) bool { return strings.EqualFold(p[0], key) }
		if !slices.ContainsFunc(*m, same) {
			*m = append(*m, [2]string{hs.canonical(key), value})
		}
	}
	return true
}

// canonical returns the configured spelling of a name in a Meta header, if there is one, since HTTP names ignore case.
func (hs metadataHeaders) canonical(name string) string {
	for _, list := range [...]metadataHeaders{forwarded, hs} {
		for _, p := range list {
			if strings.EqualFold(p.name, name) {
				return p.name
			}
		}
	}
	return name
}

// token returns a bearer token, or else the whole Authorization header, as the gateways of the families do. An unknown
// token is then refused, not ignored.
func token(authorization string) string {
	scheme, rest, ok := strings.Cut(authorization, " ")
	if ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(rest)
	}
	return authorization
}

// replyMeta returns reply metadata as a query string.
func replyMeta(m wire.Metadata) string {
	var b strings.Builder
	for _, p := range m {
		if reserved(p[0]) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p[0]))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(p[1]))
	}
	return b.String()
}

// traceID returns the trace of a W3C traceparent; "" if it is malformed.
func traceID(traceparent string) string {
	parts := strings.SplitN(traceparent, "-", 4)
	if len(parts) != 4 || len(parts[0]) != 2 || len(parts[1]) != 32 || len(parts[2]) != 16 {
		return ""
	}
	if strings.Trim(parts[1], "0123456789abcdef") != "" || strings.Trim(parts[1], "0") == "" {
		return ""
	}
	return parts[1]
}
