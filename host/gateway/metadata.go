package gateway

import (
	"net/url"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// passedOn are the HTTP headers that become metadata of the same name. Besides them the family's Meta header does, and
// Authorization becomes the token.
var passedOn = []struct{ header, key string }{
	{"Traceparent", "traceparent"},
	{"Tracestate", "tracestate"},
	{"Baggage", "baggage"},
}

// identityKeys say who a caller is, to someone who believes them. They are compared as plain does it.
var identityKeys = map[string]bool{
	"authorization": true, "proxy_authorization": true, "cookie": true, "caller": true, "identity": true,
	"forwarded": true, "x_real_ip": true,
}

// reserved tells whether a metadata key is ours, or one that somebody could take for ours.
func reserved(key string) bool {
	k := plain(key)
	return strings.HasPrefix(k, "__") || strings.HasPrefix(k, "x_em_") || strings.HasPrefix(k, "x_forwarded_") ||
		strings.HasPrefix(k, "easymicro_") || strings.HasPrefix(k, "x_rpcx_") || identityKeys[k]
}

// plain folds the spellings of a key that proxies and languages take for one another: case, dashes and dots for
// underscores, and what stands around it.
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

// readMetadata fills the frame's metadata: first the caller's own without what is reserved, then ours.
func (x *exchange) readMetadata() *code.Error {
	m := &x.req.Metadata
	if x.family != nil {
		for _, q := range x.r.Header[x.family.keys[famMeta]] {
			if !x.g.appendQuery(m, q) {
				return x.bad("the header " + x.family.keys[famMeta] + " is no query string")
			}
		}
	}
	for _, p := range passedOn {
		if v := x.r.Header[p.header]; len(v) > 0 {
			m.Set(p.key, strings.Join(v, ","))
		}
	}
	if e := x.readMapped(m); e != nil {
		return e
	}
	if auth := x.r.Header["Authorization"]; len(auth) > 1 {
		return x.bad("more than one header Authorization")
	} else if len(auth) == 1 {
		m.Set(wire.MetaAuth, token(auth[0]))
	}
	return x.checkMetadata(*m)
}

func (x *exchange) checkMetadata(m wire.Metadata) *code.Error {
	if len(m) > x.g.limits.MaxMetadataPairs {
		return x.tooLarge("too many metadata pairs")
	}
	size := 0
	for _, p := range m {
		size += 8 + len(p[0]) + len(p[1])
	}
	if size > x.g.limits.MaxMetadataBytes {
		return x.tooLarge("too much metadata")
	}
	return nil
}

// appendQuery adds the pairs of a query string, each key once (the first counts, as in the gateways that have this
// header), in its order, and one more than the limit at most. Keys that differ by case alone are one, as names of HTTP are.
func (g *Gateway) appendQuery(m *wire.Metadata, q string) bool {
	for pair := range strings.SplitSeq(q, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		key, errKey := url.QueryUnescape(k)
		value, errValue := url.QueryUnescape(v)
		if errKey != nil || errValue != nil {
			return false
		}
		if key == "" || reserved(key) || len(*m) > g.limits.MaxMetadataPairs {
			continue
		}
		same := func(p [2]string) bool { return strings.EqualFold(p[0], key) }
		if !slices.ContainsFunc(*m, same) {
			*m = append(*m, [2]string{g.canonical(key), value})
		}
	}
	return true
}

// token is what an Authorization header proves its caller with: a bearer token, or the whole header, which the gateways
// before this one passed on as it is. What is no token of this host's is then refused, not ignored.
func token(authorization string) string {
	scheme, rest, ok := strings.Cut(authorization, " ")
	if ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(rest)
	}
	return authorization
}

// traceID is that of a W3C traceparent; "" when there is none.
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
