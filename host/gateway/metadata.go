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

// mapped is one header that becomes metadata.
type mapped struct {
	name   string // of the metadata
	header string // canonical
}

// notMetadata are headers that are about the connection or the message, or that the gateway reads itself.
var notMetadata = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true, "Transfer-Encoding": true,
	"Upgrade": true, "Host": true, "Content-Length": true, "Content-Type": true, "Content-Encoding": true, "Expect": true,
}

// CheckMetadata finds what is wrong with Options.Metadata.
func CheckMetadata(headers map[string]string) Problems {
	_, problems := newMapped(headers)
	return problems
}

// newMapped checks which headers become metadata and sorts them by name. Names must differ in more than case, dashes and
// dots.
func newMapped(headers map[string]string) (list []mapped, problems Problems) {
	names, taken := make(map[string]string), make(map[string]string)
	for _, p := range passedOn {
		names[plain(p.key)], taken[p.header] = p.key, p.key
	}
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		at, header := "gateway.metadata."+name, http.CanonicalHeaderKey(headers[name])
		switch {
		case name == "" || len(name) > 128 || strings.ContainsFunc(name, unprintable):
			problems.add(at, "the name %q must be 1 to 128 printable characters without blanks", code.Clip(name, 128))
		case reserved(name):
			problems.add(at, "the name %s is reserved: it would say who calls, or be taken for metadata of the protocol", name)
		case names[plain(name)] != "":
			problems.add(at, "the name %s is taken by %s: callers and proxies may take one for the other", name, names[plain(name)])
		case !isToken(header):
			problems.add(at, "%q is no name of an HTTP header", code.Clip(headers[name], 128))
		case notMetadata[header]:
			problems.add(at, "the header %s is about the connection or the message, and not for handlers", header)
		case reserved(header):
			problems.add(at, "the header %s is reserved: it says who calls (auth), or is one that the gateway reads itself", header)
		case taken[header] != "":
			problems.add(at, "the header %s becomes the metadata %s already", header, taken[header])
		default:
			list = append(list, mapped{name, header})
		}
		names[plain(name)], taken[header] = name, name
	}
	return list, problems
}

func unprintable(r rune) bool { return r <= ' ' || r == 0x7f || r > 0x7e }

// isToken reports whether s may be the name of a header.
func isToken(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		return unprintable(r) || strings.ContainsRune("\"(),/:;<=>?@[\\]{}", r)
	})
}

// readMapped adds the headers that become metadata. Proxies in front see headers and set them; the family's Meta header
// they pass on unread. So the two must not differ, and a header that is there twice is not one that a proxy has set.
func (x *exchange) readMapped(m *wire.Metadata) *code.Error {
	for _, p := range x.g.mapped {
		values := x.r.Header[p.header]
		if len(values) == 0 {
			continue
		}
		if len(values) > 1 {
			return x.bad("more than one header " + p.header)
		}
		if said, ok := m.Lookup(p.name); ok && said != values[0] {
			return x.bad("the headers " + p.header + " and " + x.family.prefix + famMeta + " give " + p.name + " different values")
		}
		m.Set(p.name, values[0])
	}
	return nil
}

// canonical is the spelling of a name in a Meta header: that of the metadata that a header becomes, if it is one, since
// names are those of HTTP there.
func (g *Gateway) canonical(name string) string {
	for _, p := range passedOn {
		if strings.EqualFold(p.key, name) {
			return p.key
		}
	}
	for _, p := range g.mapped {
		if strings.EqualFold(p.name, name) {
			return p.name
		}
	}
	return name
}
