//go:build !base

package main

import (
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/machine"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/samples/benchmark/contestant"
)

// ownHeap has the host set the floor of its heap.
func ownHeap(o *host.Options) { o.Heap = new(machine.Heap) }

// ofTheseSources are contestants that older sources do not have.
func ofTheseSources() []contestant.Contestant {
	reusing := calls("easymicro-reuse", "one rule; argument and reply are used again (registry.Reuse)", unset, oneRule)
	reusing.Serve = serve(oneRule, noDiscovery, registry.Reuse())
	return []contestant.Contestant{reusing}
}
