package etcd

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/easymicro/easymicro/wire/client"
)

// node is an endpoint as described by a key and its value.
type node struct {
	client.Endpoint
	service  string
	lower    string // service in lower case
	exact    bool   // service is spelled as its host spells it, not just in lower case
	host     string
	version  string
	layouts  []string // in which it was found
	inactive bool     // taken out of service by an operator
	leaving  bool     // its host is about to delete the key and will not return

	kind     string // of an address that is not accepted: such a node is not an endpoint
	lease    int64  // of its key; 0: none
	revision int64  // of its key; it grows when the endpoint is registered again
}

// identity is equal for nodes, of any layout, that are the same endpoint of the same service.
type identity struct {
	service string // empty when only its lower case is known
	address string
}

func (n node) identity() identity {
	if !n.exact {
		return identity{address: n.Address}
	}
	return identity{n.service, n.Address}
}

const maxWeight = 1_000_000

// describe sets the metadata and the fields derived from it.
func (n *node) describe(metadata map[string]string) {
	if len(metadata) == 0 {
		return
	}
	n.Metadata = metadata
	if w, err := strconv.Atoi(metadata["weight"]); err == nil && w > 0 {
		n.Weight = min(w, maxWeight)
	}
	n.inactive = metadata["state"] == "inactive"
}

// merge returns n merged with the same endpoint in an earlier layout, which takes precedence.
func (n node) merge(earlier node) node {
	if earlier.Address == "" {
		return n
	}
	metadata := maps.Clone(n.Metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	maps.Copy(metadata, earlier.Metadata)
	both := earlier
	both.describe(metadata)
	both.revision = max(both.revision, n.revision)
	both.host, both.version = cmp.Or(both.host, n.host), cmp.Or(both.version, n.version)
	if !slices.Contains(earlier.layouts, n.layouts[0]) {
		both.layouts = append(slices.Clip(earlier.layouts), n.layouts...)
	}
	return both
}

func (n node) equal(other node) bool {
	return n.service == other.service && n.exact == other.exact && n.host == other.host && n.version == other.version &&
		n.inactive == other.inactive && n.leaving == other.leaving && n.sameEndpoint(other)
}

// sameEndpoint reports whether there is no difference for clients. A new revision is one: the host may have restarted, and
// clients may be in back-off.
func (n node) sameEndpoint(other node) bool {
	return n.revision == other.revision && n.sameAddress(other) && n.Weight == other.Weight && maps.Equal(n.Metadata, other.Metadata)
}

func (n node) sameAddress(other node) bool {
	return n.Network == other.Network && n.Address == other.Address
}

// tolerates reports whether found may stay at the key at which this host wants n: n itself under our lease, an operator's
// change that takes the endpoint out of service, or the registration of another host that has the address now. Hosts
// include their name if the layout has a field for it.
func (n node) tolerates(found node, lease clientv3.LeaseID) bool {
	n.revision = found.revision
	held := clientv3.LeaseID(found.lease)
	switch {
	case held == lease && found.equal(n):
		return true
	case !found.sameAddress(n) || found.lower != n.lower:
		return false
	case found.inactive:
		return true
	}
	return held != clientv3.NoLease && held != lease && (found.host != "" || n.host == "")
}

const maxAddressBytes = 512

// parseAddress returns the endpoint for an address, if it can be called.
func parseAddress(network, address string) (client.Endpoint, bool) {
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
	default: // quic, kcp, http: supported by rpcx only
		return client.Endpoint{}, false
	}
}

// serviceEndpoints holds the live endpoints of a service and those lost recently. If many are lost at once, the keys were
// probably lost and not the hosts: lost endpoints stay in use, as stale, while the live ones are less than percent of both,
// each for hold at most.
type serviceEndpoints struct {
	percent      int           // of live endpoints from which the lost ones are no longer used
	hold         time.Duration // for which a lost endpoint is kept
	live         map[identity]node
	recentlyGone map[identity]goneNode
}

type goneNode struct {
	node
	at time.Time
}

// callable is a node that may be called.
type callable struct {
	node
	stale bool
}

// set replaces the live nodes. Those in withdrawn were removed on purpose and are not kept.
func (s *serviceEndpoints) set(now time.Time, live map[identity]node, withdrawn map[identity]bool) {
	there := make(map[string]bool, len(live)) // by address only: a host may begin to publish its exact name
	for id := range live {
		there[id.address] = true
	}
	for id, n := range s.live {
		if !there[id.address] && !withdrawn[id] {
			s.recentlyGone[id] = goneNode{n, now}
		}
	}
	maps.DeleteFunc(s.recentlyGone, func(id identity, g goneNode) bool {
		return there[id.address] || withdrawn[id] || now.Sub(g.at) >= s.hold
	})
	s.live = live
}

// restartHold restarts the hold of all lost nodes: none could return while etcd was unreachable.
func (s *serviceEndpoints) restartHold(now time.Time) {
	for id, g := range s.recentlyGone {
		s.recentlyGone[id] = goneNode{g.node, now}
	}
}

// list returns the matching nodes that may be called, sorted by address, and when the list changes by itself; zero for
// never.
func (s *serviceEndpoints) list(now time.Time, matches func(node) bool) (list []callable, expires time.Time) {
	for _, n := range s.live {
		if matches(n) {
			list = append(list, callable{node: n})
		}
	}
	var stale []callable
	for _, g := range s.recentlyGone {
		if end := g.at.Add(s.hold); matches(g.node) && now.Before(end) {
			stale = append(stale, callable{g.node, true})
			if expires.IsZero() || end.Before(expires) {
				expires = end
			}
		}
	}
	if len(list)*100 < s.percent*(len(list)+len(stale)) {
		list = append(list, stale...)
	} else {
		expires = time.Time{}
	}
	slices.SortFunc(list, func(a, b callable) int { return strings.Compare(a.Address, b.Address) })
	// Two programs of one machine may have published an address with and without an exact name.
	return slices.CompactFunc(list, func(a, b callable) bool { return a.Address == b.Address }), expires
}

// matcher returns a function that reports whether a node serves a name: the exact name, or else a unique one that
// differs only in case. The original easymicro publishes lower-case names, which match any spelling.
func (s *serviceEndpoints) matcher(now time.Time, service string) func(node) bool {
	live, all := s.spellings(now)
	unique := live
	if len(live) == 0 { // spellings of lost nodes do not make a live one ambiguous
		unique = all
	}
	name := ""
	switch {
	case slices.Contains(all, service):
		name = service
	case len(unique) == 1:
		name = unique[0]
	}
	return func(n node) bool { return !n.exact || n.service == name }
}

// spellings returns the exact names of the live nodes, and of all.
func (s *serviceEndpoints) spellings(now time.Time) (live, all []string) {
	add := func(names []string, n node) []string {
		if n.exact && !slices.Contains(names, n.service) {
			names = append(names, n.service)
		}
		return names
	}
	for _, n := range s.live {
		live = add(live, n)
	}
	all = slices.Clip(live)
	for _, g := range s.recentlyGone {
		if now.Sub(g.at) < s.hold {
			all = add(all, g.node)
		}
	}
	return live, all
}

func (s *serviceEndpoints) empty() bool { return len(s.live) == 0 && len(s.recentlyGone) == 0 }
