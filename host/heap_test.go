package host_test

import (
	"runtime/metrics"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/machine"
)

// collector returns the GC percentage and the memory limit in force.
func collector() (percent, limit uint64) {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64(), s[1].Value.Uint64()
}

// withMemory returns a set with a host.memory.
func withMemory(t *testing.T, memory string) *config.Set {
	t.Helper()
	m, problems := config.DecodeManifest("easymicro.yaml", []byte("host: {memory: "+memory+"}\nadmin: {address: ''}\nservices: []\n"), nil)
	must(t, problems.Err())
	return &config.Set{Manifest: m}
}

func TestTheHeapFollowsTheManifestAndIsRestored(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	percent, limit := collector()
	h, err := host.Open(t.Context(), withMemory(t, "{minHeap: 512MiB, limit: 3GiB}"), host.Options{Heap: new(machine.Heap)})
	must(t, err)
	defer h.Close()
	if p, l := collector(); p <= percent || l != 3<<30 {
		t.Errorf("at the start: %d%%, %d bytes", p, l)
	}
	_, err = h.Apply(t.Context(), withMemory(t, "{minHeap: 0, limit: 2GiB}"))
	must(t, err)
	if p, l := collector(); p != percent || l != 2<<30 {
		t.Errorf("after an edit: %d%%, %d bytes", p, l)
	}
	_, err = h.Apply(t.Context(), withMemory(t, "{minHeap: 512MiB, limit: off}"))
	must(t, err)
	if p, l := collector(); p <= percent || l != 1<<63-1 {
		t.Errorf("without a limit: %d%%, %d bytes", p, l)
	}
	h.Close()
	if p, l := collector(); p != percent || l != limit {
		t.Errorf("after the end: %d%%, %d bytes, were %d%%, %d bytes", p, l, percent, limit)
	}
}

func TestTheHeapOfAProgramIsItsOwn(t *testing.T) {
	percent, limit := collector()
	h, err := host.Open(t.Context(), withMemory(t, "{minHeap: 512MiB, limit: 3GiB}"), host.Options{})
	must(t, err)
	defer h.Close()
	if p, l := collector(); p != percent || l != limit {
		t.Errorf("%d%%, %d bytes, were %d%%, %d bytes", p, l, percent, limit)
	}
}

func TestAVariableOfTheCollectorThatWinsIsAWarning(t *testing.T) {
	t.Setenv("GOGC", "150")
	t.Setenv("GOMEMLIMIT", "2GiB")
	got := host.Check(withMemory(t, "{minHeap: 512MiB, limit: 3GiB}"), newPlant(t).reg)
	for _, want := range []string{
		"host.memory.minHeap: has no effect: GOGC is set in the environment", "host.memory.limit: has no effect: GOMEMLIMIT is set in the environment",
	} {
		if !strings.Contains(got.Error(), want) || got.Err() != nil {
			t.Errorf("%v, want %s", got, want)
		}
	}
	if got := host.Check(withMemory(t, "{}"), newPlant(t).reg).Error(); strings.Contains(got, "GOGC") {
		t.Errorf("without the settings: %s", got)
	}
}
