package gateway

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

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
