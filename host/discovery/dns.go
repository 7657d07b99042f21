package discovery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire/client"
)

// DNSOptions configure lookups. Every field has a useful zero value.
type DNSOptions struct {
	Resolver *net.Resolver // nil: the system's
	Every    time.Duration // between two lookups, ± 20 %; 0: 5 s
	Timeout  time.Duration // of a lookup; 0: 3 s
	Logger   *slog.Logger  // nil discards
}

// DNSResolver resolves every service to the endpoints that DNS returns for a name, which is looked up at intervals.
type DNSResolver struct {
	o          DNSOptions
	host, port string // of host:port
	srv        string // else the name of the SRV records
}

// DNS returns a resolver for a name. host:port has an endpoint for each address of the host (A and AAAA). srv://name,
// _service._proto.name and other names without a port have the SRV records of the lowest priority, with their weights.
func DNS(name string, o DNSOptions) (*DNSResolver, error) {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Every <= 0 {
		o.Every = 5 * time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 3 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	n := &DNSResolver{o: o}
	rest, srv := strings.CutPrefix(name, "srv://")
	switch {
	case rest == "" || strings.ContainsAny(rest, "/ \t\n@?#"):
		return nil, fmt.Errorf("dns: %q is not a name: use host:port, srv://name or _service._proto.name", name)
	case !srv && strings.Contains(rest, ":"):
		host, port, err := net.SplitHostPort(rest)
		if p, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || p == 0 || host == "" {
			return nil, fmt.Errorf("dns: %q is not host:port with a port from 1 to 65535", name)
		}
		n.host, n.port = host, port
	case strings.Contains(rest, ":"):
		return nil, fmt.Errorf("dns: %q has a port: SRV records have their own", name)
	default:
		n.srv = rest
	}
	return n, nil
}

// Watch implements client.Resolver. While lookups fail, even because the name no longer exists, the last list stays in use.
// When ctx ends, a lookup in progress is canceled; the system's resolver may take some seconds to notice.
func (n *DNSResolver) Watch(ctx context.Context, _ string, update func([]client.Endpoint, error)) error {
	var last []client.Endpoint
	first, failure := true, ""
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
		list, err := n.lookup(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && (first || failure != "" || !slices.EqualFunc(last, list, equal)):
			update(list, nil)
			last, first, failure = list, false, ""
		case err != nil && err.Error() != failure:
			failure = err.Error()
			n.o.Logger.Warn("dns lookup failed; using last known endpoints", "error", err)
			update(nil, err)
		}
		again.Reset(n.o.Every - n.o.Every/5 + rand.N(2*n.o.Every/5+1))
	}
}

func equal(a, b client.Endpoint) bool { return a.Address == b.Address && a.Weight == b.Weight }

func (n *DNSResolver) lookup(ctx context.Context) ([]client.Endpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, n.o.Timeout)
	defer cancel()
	if n.srv != "" {
		return n.lookupSRV(ctx)
	}
	addresses, err := n.o.Resolver.LookupNetIP(ctx, "ip", n.host)
	if err == nil && len(addresses) == 0 {
		err = errors.New("no addresses")
	}
	if err != nil {
		return nil, fmt.Errorf("dns %s: %w", n.host, err)
	}
	list := make([]client.Endpoint, 0, len(addresses))
	for _, a := range addresses {
		list = append(list, client.Endpoint{Network: "tcp", Address: net.JoinHostPort(a.Unmap().String(), n.port)})
	}
	return sorted(list), nil
}

func (n *DNSResolver) lookupSRV(ctx context.Context) ([]client.Endpoint, error) {
	_, records, err := n.o.Resolver.LookupSRV(ctx, "", "", n.srv)
	if err == nil && len(records) == 0 {
		err = errors.New("no SRV records")
	}
	if err != nil {
		return nil, fmt.Errorf("dns %s: %w", n.srv, err)
	}
	lowest := slices.MinFunc(records, func(a, b *net.SRV) int { return cmp.Compare(a.Priority, b.Priority) }).Priority
	var list []client.Endpoint
	for _, r := range records {
		target := strings.TrimSuffix(r.Target, ".")
		if r.Priority != lowest || target == "" { // a target of "." means that there is no such service
			continue
		}
		list = append(list, client.Endpoint{
			Network: "tcp", Address: net.JoinHostPort(target, strconv.Itoa(int(r.Port))), Weight: max(int(r.Weight), 1),
		})
	}
	return sorted(list), nil
}

// sorted returns the list in a fixed order, each address once: servers rotate their answers.
func sorted(list []client.Endpoint) []client.Endpoint {
	slices.SortFunc(list, func(a, b client.Endpoint) int {
		return cmp.Or(strings.Compare(a.Address, b.Address), b.Weight-a.Weight)
	})
	return slices.CompactFunc(list, func(a, b client.Endpoint) bool { return a.Address == b.Address })
}
