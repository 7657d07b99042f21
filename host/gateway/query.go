package gateway

import (
	"bytes"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// wildcards are the names of the wildcards in a pattern of ServeMux.
func wildcards(pattern string) []string {
	var found []string
	for {
		_, rest, ok := strings.Cut(pattern, "{")
		if !ok {
			return found
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			return found
		}
		if name != "$" {
			found = append(found, strings.TrimSuffix(name, "..."))
		}
		pattern = after
	}
}

// bindWildcards checks that each wildcard is a member of the argument.
func (g *Gateway) bindWildcards(b *bound, t Target) error {
	binder, err := g.newBinder(t)
	if err != nil {
		return err
	}
	for _, w := range b.wildcards {
		if _, ok := binder.member(w); !ok {
			return fmt.Errorf("{%s} is no member of %s", w, t.Args)
		}
	}
	b.binder = binder
	return nil
}

// bindQuery makes the payload of a call by GET.
func (x *exchange) bindQuery(b *bound) *code.Error {
	query, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return x.bad("the query string cannot be read")
	}
	for _, w := range b.wildcards {
		query[w] = append(query[w], x.r.PathValue(w))
	}
	if x.g.rejectUnknown {
		if what := b.unknown(query, x.g.nearest); what != "" {
			return x.bad(what)
		}
	}
	payload, what := b.binder.object(x.req.Payload[:0], query)
	x.req.Payload = payload
	if what != "" {
		return x.bad(what)
	}
	return nil
}

// bindPath adds the path's wildcards to the members of the body. A body that has one of them too is bad: the codec takes no
// name twice.
func (x *exchange) bindPath(b *bound) *code.Error {
	if x.codec != wire.JSON {
		return x.refuse(code.InvalidArgument, code.ReasonUnknownCodec, "this path takes JSON only")
	}
	query := make(url.Values, len(b.wildcards))
	for _, w := range b.wildcards {
		query[w] = []string{x.r.PathValue(w)}
	}
	members, what := b.binder.object(nil, query)
	if what != "" {
		return x.bad(what)
	}
	body := bytes.TrimSpace(x.req.Payload)
	if len(body) < 2 || body[0] != '{' || body[len(body)-1] != '}' {
		return x.bad("the body is no JSON object")
	}
	if len(bytes.TrimSpace(body[1:len(body)-1])) == 0 {
		x.req.Payload = append(x.req.Payload[:0], members...)
		return nil
	}
	body = append(body[:len(body)-1], ',')
	body = append(body, members[1:]...)
	x.req.Payload = body
	return nil
}

// object appends the parameters that are members as a JSON object. what says what is wrong with them, without showing
// values.
func (b *binder) object(dst []byte, query url.Values) (_ []byte, what string) {
	given := make(map[string][]string, len(query))
	var found []*member
	for _, name := range slices.Sorted(maps.Keys(query)) {
		m, ok := b.member(name)
		if !ok {
			continue
		}
		if given[m.name] == nil {
			found = append(found, m)
		}
		given[m.name] = append(given[m.name], query[name]...)
	}
	slices.SortStableFunc(found, func(a, b *member) int { return a.order - b.order })

	dst = append(dst, '{')
	for i, m := range found {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, m.name)
		dst = append(dst, ':')
		if dst, what = m.append(dst, given[m.name]); what != "" {
			return dst, what
		}
	}
	return append(dst, '}'), ""
}

func (m *member) append(dst []byte, values []string) (_ []byte, what string) {
	if !m.list {
		if len(values) > 1 {
			return dst, fmt.Sprintf("parameter %q is there more than once", m.name)
		}
		dst, ok := m.value.append(dst, values[0])
		if !ok {
			return dst, fmt.Sprintf("parameter %q is not %s", m.name, formNames[m.value.form])
		}
		return dst, ""
	}
	dst = append(dst, '[')
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		var ok bool
		if dst, ok = m.value.append(dst, v); !ok {
			return dst, fmt.Sprintf("parameter %q is not a list of which each is %s", m.name, formNames[m.value.form])
		}
	}
	return append(dst, ']'), ""
}

// unknown says which parameter is no member, if one is.
func (b *binder) unknown(query url.Values, nearest func(string, []string) string) string {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if _, ok := b.member(name); !ok {
			return fmt.Sprintf("unknown parameter %q", code.Clip(name, 64)) + Instead(name, b.known, nearest)
		}
	}
	return ""
}

// mostKnown is how many names are told to a caller who gave another one.
const mostKnown = 20

// Instead returns what to say behind the name of something that is not known: the name that was probably meant, as nearest
// finds it, or else those that there are.
func Instead(name string, known []string, nearest func(word string, known []string) string) string {
	if n := nearest(name, known); n != "" {
		return " (did you mean " + n + "?)"
	}
	switch {
	case len(known) == 0:
		return ", there are none"
	case len(known) > mostKnown:
		return ", known are " + strings.Join(known[:mostKnown], ", ") + " and more"
	}
	return ", known are " + strings.Join(known, ", ")
}
