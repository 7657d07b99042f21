package discovery_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/easymicro/easymicro/host/discovery"
	"github.com/easymicro/easymicro/wire/client"
)

// watchOnce prints the first list of endpoints, as a client would get it.
func watchOnce(r client.Resolver) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	err := r.Watch(ctx, "Arith", func(list []client.Endpoint, err error) {
		for _, e := range list {
			fmt.Println(e.Network, e.Address, e.Weight, e.Metadata)
		}
		if err != nil {
			fmt.Println(err)
		}
		cancel()
	})
	if err != nil {
		fmt.Println(err)
	}
}

func ExampleStatic() {
	list, err := discovery.Static("tcp://10.0.0.5:8972", "10.0.0.6:8972")
	if err != nil {
		fmt.Println(err)
		return
	}
	watchOnce(list)
	// Output:
	// tcp 10.0.0.5:8972 0 map[]
	// tcp 10.0.0.6:8972 0 map[]
}

// The file is watched: an edit takes effect within a second. While it is invalid, the last list stays in use.
func ExampleFile() {
	dir, err := os.MkdirTemp("", "discovery")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "endpoints.yaml")
	text := "endpoints:\n  - {address: '10.0.0.5:8972', weight: 10, metadata: {group: blue}}\n  - {address: '10.0.0.6:8972', weight: 5}\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	watchOnce(discovery.File(path, discovery.FileOptions{}))
	// Output:
	// tcp 10.0.0.5:8972 10 map[group:blue]
	// tcp 10.0.0.6:8972 5 map[]
}

// A name with a port has an endpoint for each of its addresses; one without is looked up as an SRV record.
func ExampleDNS() {
	names, err := discovery.DNS("127.0.0.1:8972", discovery.DNSOptions{}) // or "arith.internal:8972", "_rpcx._tcp.arith.internal"
	if err != nil {
		fmt.Println(err)
		return
	}
	watchOnce(names)
	// Output: tcp 127.0.0.1:8972 0 map[]
}
