package etcd

import (
	"net/url"
	"strings"
)

// rpcxLayout has one key an endpoint, <base>/<Service>/<network>@<host:port>, with its metadata behind it as the query
// of a URL, and markers where a file system had folders.
type rpcxLayout struct{ base string }

// rootMarker is what rpcx writes at the base.
const rootMarker = "rpcx_path"

// farewellMark tells a key that is about to go from one that an operator took out of service. Clients of rpcx know the
// inactive state, and go elsewhere.
const farewellMark = "x-em-leaving"

func (rpcxLayout) name() string { return layoutRPCX }

func (l rpcxLayout) prefix() string { return l.base + "/" }

func (l rpcxLayout) entries(i Instance) []entry {
	metadata := url.Values{}
	for name, value := range i.Metadata {
		metadata.Set(name, value)
	}
	value := metadata.Encode()
	metadata.Set("state", "inactive")
	metadata.Set(farewellMark, "1")
	service := l.base + "/" + i.Service
	return []entry{
		{key: l.base, value: rootMarker, marker: true},
		{key: service, value: i.Service, marker: true},
		{key: service + "/" + network(i) + "@" + i.Address, value: value, farewell: metadata.Encode()},
	}
}

func (l rpcxLayout) parse(key string, value []byte) (node, bool) {
	rest, ok := strings.CutPrefix(key, l.prefix())
	path, address, cut := strings.Cut(rest, "@")
	slash := strings.LastIndexByte(path, '/')
	if !ok || !cut || slash <= 0 {
		return node{}, false
	}
	e, ok := endpoint(path[slash+1:], address)
	if !ok {
		return node{}, false
	}
	n := node{Endpoint: e, service: path[:slash], lower: strings.ToLower(path[:slash]), exact: true, layouts: []string{layoutRPCX}}
	if len(value) <= maxValueBytes {
		query, _ := url.ParseQuery(string(value)) // it has what could be understood
		metadata := make(map[string]string, len(query))
		for name := range query {
			metadata[name] = query.Get(name)
		}
		n.describe(metadata)
		if n.leaving = n.out && metadata[farewellMark] != ""; n.leaving {
			n.out = false
		}
	}
	return n, true
}
