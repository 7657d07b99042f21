//go:build !base

package main

import (
	"sync"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/machine"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/samples/benchmark/contestant"
)

// ownHeap has the host set the floor of its heap.
func ownHeap(o *host.Options) { o.Heap = new(machine.Heap) }

// clientHeap sets the floor that a host has by default, since hosts are what calls hosts.
var clientHeap = sync.OnceFunc(func() { new(machine.Heap).Set(64<<20, 0) })

// ofTheseSources are contestants that older sources do not have.
func ofTheseSources() []contestant.Contestant {
	reusing := calls("easymicro-reuse", "one rule; argument and reply are used again (registry.Reuse)", unset, oneRule)
	reusing.Serve = serve(oneRule, noDiscovery, registry.Reuse())
	return []contestant.Contestant{reusing}
}
