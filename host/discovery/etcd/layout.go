package etcd

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Instance is one service of this host as it is published.
type Instance struct {
	Service  string // exact name; an alias is an instance of its own
	Address  string // host:port at which others reach it
	Metadata map[string]string
	Host     string
	Version  string
}

// layout maps services to keys and values.
type layout interface {
	name() string
	// prefix returns the common prefix of the keys of all services.
	prefix() string
	// entries returns the keys that publish an instance.
	entries(Instance) []entry
	// parse parses a key and its value. ok is false if the key does not describe an endpoint.
	parse(key string, value []byte) (n node, ok bool)
}

// entry is a key and its value. A marker is a key that announces others below it; it is written only if missing, and
// nothing depends on it.
type entry struct {
	key, value string
	tombstone  string // value that announces that the key is about to be deleted
	marker     bool
}

// wanted is a key that this host wants to have in etcd.
type wanted struct {
	entry
	layout int
}

// layouts are the layouts of a cluster, in the order of precedence.
type layouts []layout

const (
	layoutEasymicro = "easymicro"
	layoutRPCX      = "rpcx"
)

// newLayouts returns the layouts with these names; prefix belongs to the first.
func newLayouts(names []string, prefix string) (layouts, error) {
	if len(names) == 0 {
		names = []string{layoutEasymicro}
	}
	list := make(layouts, 0, len(names))
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("layout %s is listed twice", name)
		}
		if i > 0 {
			prefix = ""
		}
		switch name {
		case layoutEasymicro:
			list = append(list, easymicroLayout{directory(prefix, "services/")})
		case layoutRPCX:
			list = append(list, rpcxLayout{strings.TrimSuffix(directory(prefix, "rpcx/"), "/")})
		default:
			return nil, fmt.Errorf("unknown layout %q: use %s or %s", name, layoutEasymicro, layoutRPCX)
		}
	}
	return list, nil
}

// directory returns prefix, or def if it is empty, with exactly one slash at its end.
func directory(prefix, def string) string {
	if trimmed := strings.TrimRight(prefix, "/"); trimmed != "" {
		return trimmed + "/"
	}
	return def
}

// wanted returns the keys of instances. Names that differ only in case may share a key: the first one gets it.
func (l layouts) wanted(list []Instance) []wanted {
	var want []wanted
	had := map[string]bool{}
	for _, i := range list {
		for n, layout := range l {
			for _, e := range layout.entries(i) {
				if !had[e.key] {
					had[e.key] = true
					want = append(want, wanted{e, n})
				}
			}
		}
	}
	return want
}

// parse returns the nodes that keys describe, by key, without markers.
func (l layouts) parse(want []wanted) map[string]node {
	nodes := make(map[string]node, len(want))
	for _, w := range want {
		if n, ok := l[w.layout].parse(w.key, []byte(w.value)); ok && !w.marker {
			nodes[w.key] = n
		}
	}
	return nodes
}

// maxValueBytes bounds the values that are parsed.
const maxValueBytes = 64 << 10

// easymicroLayout has one key per endpoint, <prefix><service in lower case>/<host:port>, whose value is JSON.
type easymicroLayout struct{ under string }

// published is the value. The original easymicro writes and reads the first three fields, with its encoding/json.
type published struct {
	Name     string            `json:"Name"`
	Addr     string            `json:"Addr"`
	Network  string            `json:"Network"`
	Service  string            `json:"Service,omitempty"` // spelled as its host spells it
	Metadata map[string]string `json:"Metadata,omitempty"`
	Host     string            `json:"Host,omitempty"`
	Version  string            `json:"Version,omitempty"`
	Leaving  bool              `json:"Leaving,omitempty"` // the key is about to be deleted
}

func (p published) encode() string {
	text, err := json.Marshal(p)
	if err != nil { // strings can always be marshaled
		return ""
	}
	return string(text)
}

func (easymicroLayout) name() string { return layoutEasymicro }

func (l easymicroLayout) prefix() string { return l.under }

func (l easymicroLayout) entries(i Instance) []entry {
	lower := strings.ToLower(i.Service)
	value := published{
		Name: lower, Addr: i.Address, Network: "tcp", Service: i.Service, Metadata: i.Metadata, Host: i.Host, Version: i.Version,
	}
	tombstone := value
	tombstone.Leaving = true
	return []entry{{key: l.under + lower + "/" + i.Address, value: value.encode(), tombstone: tombstone.encode()}}
}

func (l easymicroLayout) parse(key string, value []byte) (node, bool) {
	rest, ok := strings.CutPrefix(key, l.under)
	v := parsePublished(value)
	slash := len(rest) - len(v.Addr) - 1 // before an address that has slashes itself
	if v.Addr == "" || !strings.HasSuffix(rest, "/"+v.Addr) {
		slash = strings.LastIndexByte(rest, '/')
	}
	if !ok || slash <= 0 {
		return node{}, false
	}
	service, address := rest[:slash], rest[slash+1:]
	e, ok := parseAddress(v.Network, v.Addr)
	if !ok {
		if e, ok = parseAddress(v.Network, address); !ok {
			if e, ok = parseAddress("", address); !ok {
				return node{}, false
			}
		}
	}
	n := node{Endpoint: e, service: strings.ToLower(service), lower: strings.ToLower(service), layouts: []string{layoutEasymicro}}
	n.host, n.version, n.leaving = v.Host, v.Version, v.Leaving
	if v.Service != "" && strings.EqualFold(v.Service, service) {
		n.service, n.exact = v.Service, true
	}
	n.describe(v.Metadata)
	return n, true
}

// parsePublished parses as much of a value as it can: other programs write values, too.
func parsePublished(value []byte) published {
	var v published
	if len(value) == 0 || len(value) > maxValueBytes {
		return v
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(value, &fields) != nil {
		return v
	}
	for name, raw := range fields {
		switch strings.ToLower(name) {
		case "addr":
			v.Addr = parseString(raw)
		case "network":
			v.Network = parseString(raw)
		case "service":
			v.Service = parseString(raw)
		case "host":
			v.Host = parseString(raw)
		case "version":
			v.Version = parseString(raw)
		case "leaving":
			v.Leaving = string(raw) == "true"
		case "metadata":
			v.Metadata = parseScalars(raw)
		}
	}
	return v
}

func parseString(raw json.RawMessage) string {
	var s string
	_ = json.Unmarshal(raw, &s) // other types are ignored
	return s
}

func parseScalars(raw json.RawMessage) map[string]string {
	var values map[string]any
	if json.Unmarshal(raw, &values) != nil {
		return nil
	}
	m := make(map[string]string, len(values))
	for name, value := range values {
		switch value := value.(type) {
		case string:
			m[name] = value
		case float64, bool:
			m[name] = fmt.Sprint(value)
		}
	}
	return m
}

// rpcxLayout has one key per endpoint, <base>/<Service>/<network>@<host:port>, whose value is the metadata as a URL query,
// and markers at the levels above.
type rpcxLayout struct{ base string }

const (
	// rootMarker is the value that rpcx writes at the base.
	rootMarker = "rpcx_path"
	// leavingKey distinguishes a key about to be deleted from one that an operator took out of service. Clients of rpcx avoid
	// endpoints with state=inactive.
	leavingKey = "x-em-leaving"
)

func (rpcxLayout) name() string { return layoutRPCX }

func (l rpcxLayout) prefix() string { return l.base + "/" }

func (l rpcxLayout) entries(i Instance) []entry {
	metadata := url.Values{}
	for name, value := range i.Metadata {
		metadata.Set(name, value)
	}
	value := metadata.Encode()
	metadata.Set("state", "inactive")
	metadata.Set(leavingKey, "1")
	service := l.base + "/" + i.Service
	return []entry{
		{key: l.base, value: rootMarker, marker: true},
		{key: service, value: i.Service, marker: true},
		{key: service + "/tcp@" + i.Address, value: value, tombstone: metadata.Encode()},
	}
}

func (l rpcxLayout) parse(key string, value []byte) (node, bool) {
	rest, ok := strings.CutPrefix(key, l.prefix())
	path, address, cut := strings.Cut(rest, "@")
	slash := strings.LastIndexByte(path, '/')
	if !ok || !cut || slash <= 0 {
		return node{}, false
	}
	e, ok := parseAddress(path[slash+1:], address)
	if !ok {
		return node{}, false
	}
	n := node{Endpoint: e, service: path[:slash], lower: strings.ToLower(path[:slash]), exact: true, layouts: []string{layoutRPCX}}
	if len(value) <= maxValueBytes {
		query, _ := url.ParseQuery(string(value)) // on an error it has what could be parsed
		metadata := make(map[string]string, len(query))
		for name := range query {
			metadata[name] = query.Get(name)
		}
		n.describe(metadata)
		if n.leaving = n.inactive && metadata[leavingKey] != ""; n.leaving {
			n.inactive = false
		}
	}
	return n, true
}
