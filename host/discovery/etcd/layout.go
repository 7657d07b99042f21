package etcd

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/easymicro/easymicro/wire/client"
)

// A layout is how services stand in the keys and values of etcd.
type layout interface {
	name() string
	// prefix is what all keys of services begin with.
	prefix() string
	// entries are the keys that publish an instance.
	entries(Instance) []entry
	// parse reads a key. It is not ok when the key is that of no endpoint, whatever else it may be.
	parse(key string, value []byte) (n node, ok bool)
}

// entry is a key and its value. A marker says that there is something below it: it is written when it is missing, and
// nobody loses anything without it.
type entry struct {
	key, value string
	farewell   string // value that says that the key is about to be deleted on purpose
	marker     bool
}

// node is an endpoint as a key and its value describe it.
type node struct {
	client.Endpoint
	service string // as it is known
	lower   string // service without regard to case
	exact   bool   // service is spelled as its host spells it; else it is in lower case
	host    string
	version string
	layouts []string // where it was found
	out     bool     // taken out of service by somebody
	leaving bool     // withdrawn by its host: the key is about to go, and nobody has to wait whether it comes back

	kind     string // of an address that is not believed; then it is no endpoint
	lease    int64  // of its key; 0: none
	revision int64  // of its key, or the last of its keys: it grows when it is registered again
}

// The names of the layouts.
const (
	layoutEasymicro = "easymicro"
	layoutRPCX      = "rpcx"
)

// layoutsOf makes the layouts of these names; the prefix is that of the first.
func layoutsOf(names []string, prefix string) ([]layout, error) {
	if len(names) == 0 {
		names = []string{layoutEasymicro}
	}
	list := make([]layout, 0, len(names))
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("layout %s stands there twice", name)
		}
		if i > 0 {
			prefix = ""
		}
		switch name {
		case layoutEasymicro:
			list = append(list, easymicroLayout{folder(prefix, "services/")})
		case layoutRPCX:
			list = append(list, rpcxLayout{strings.TrimSuffix(folder(prefix, "rpcx/"), "/")})
		default:
			return nil, fmt.Errorf("no layout %q: %s or %s", name, layoutEasymicro, layoutRPCX)
		}
	}
	return list, nil
}

// folder is a prefix that ends in exactly one slash.
func folder(prefix, or string) string {
	if trimmed := strings.TrimRight(prefix, "/"); trimmed != "" {
		return trimmed + "/"
	}
	return or
}

// Bounds of what is believed.
const (
	maxAddressBytes = 512
	maxValueBytes   = 64 << 10
	maxWeight       = 1_000_000
)

// endpoint is the endpoint of an address, if it is one that can be called.
func endpoint(network, address string) (client.Endpoint, bool) {
	if len(address) > maxAddressBytes || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return client.Endpoint{}, false
	}
	switch network {
	case "", "tcp", "tcp4", "tcp6":
		host, port, err := net.SplitHostPort(address)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" {
			return client.Endpoint{}, false
		}
		return client.Endpoint{Network: "tcp", Address: address}, true
	case "unix":
		return client.Endpoint{Network: network, Address: address}, address != ""
	default: // quic, kcp, http: what rpcx can do and we cannot
		return client.Endpoint{}, false
	}
}

// describe adds what the metadata says.
func (n *node) describe(metadata map[string]string) {
	if len(metadata) == 0 {
		return
	}
	n.Metadata = metadata
	if w, err := strconv.Atoi(metadata["weight"]); err == nil && w > 0 {
		n.Weight = min(w, maxWeight)
	}
	n.out = metadata["state"] == "inactive"
}
