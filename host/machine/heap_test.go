package machine

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
)

func TestTheGoalOfASmallHeapIsTheFloor(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct{ floor, live, least, percent int64 }{
		{64 * mib, 0, 100, 1600},
		{64 * mib, 4 * mib, 100, 1500},
		{64 * mib, 16 * mib, 100, 300},
		{64 * mib, 40 * mib, 100, 100},
		{64 * mib, 500 * mib, 100, 100},
		{1024 * mib, 4 * mib, 100, maxPercent},
		{0, 4 * mib, 100, 100},
		{64 * mib, 16 * mib, 800, 800},
		{2 * mib, mib / 2, 100, 100},
	} {
		got := percentFor(c.floor, c.live, c.live, c.least)
		if got != c.percent {
			t.Errorf("floor %d, %d live: %d%%, want %d%%", c.floor, c.live, got, c.percent)
		}
		if g := goal(got, c.live, c.live); c.percent > 100 && c.percent < maxPercent && c.least == 100 && (g > c.floor || g < c.floor*9/10) {
			t.Errorf("floor %d, %d live: the goal is %d", c.floor, c.live, g)
		}
	}
}

func TestAHeapIsRestored(t *testing.T) {
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	before := current()
	h := new(Heap)
	h.Restore() // nothing yet
	h.Set(256<<20, 3<<30)
	if c := current(); c[0] <= before[0] || c[1] != 3<<30 {
		t.Errorf("with a floor of 256MiB: %d", c)
	}
	h.Set(0, 2<<30)
	if c := current(); c[0] != before[0] || c[1] != 2<<30 {
		t.Errorf("without a floor: %d", c)
	}
	h.Set(256<<20, 0)
	h.Restore()
	runtime.GC() // and a finalizer that is left changes nothing
	if c := current(); c[0] != before[0] || c[1] != before[1] {
		t.Errorf("restored: %d, was %d", c, before)
	}
}

// current returns the percentage and the memory limit in force.
func current() []int64 { return read("/gc/gogc:percent", "/gc/gomemlimit:bytes") }

const childFloor = "TEST_CHILD_FLOOR"

func TestAFloorMakesCollectionsRareUnlessTheEnvironmentWins(t *testing.T) {
	for env, limit := range map[string]int64{"": 1 << 30, "GOMEMLIMIT=2GiB": 2 << 30} {
		var without, floored outcome
		for range 5 { // on a busy machine a collection takes so long that what is allocated meanwhile counts as live
			without, floored = collections(t, 0), collections(t, 64<<20, env)
			if floored.count*3 <= without.count {
				break
			}
		}
		if floored.count >= without.count || floored.limit != limit {
			t.Errorf("%+v with a floor and %q, %+v without", floored, env, without)
		}
	}
	if set := collections(t, 64<<20, "GOGC=100"); set.percent != 100 || set.limit != 1<<30 {
		t.Errorf("%+v with GOGC=100", set)
	}
	if off := collections(t, 64<<20, "GOGC=off"); off.percent != math.MaxInt64 {
		t.Errorf("%+v with GOGC=off", off)
	}
}

// outcome is what another process has seen.
type outcome struct {
	count          uint32 // of collections
	percent, limit int64
}

// collections runs TestChildHeap in a process of its own.
func collections(t *testing.T, floor int64, env ...string) (o outcome) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChildHeap$", "-test.v")
	cmd.Env = append(append(os.Environ(), "GOGC=", "GOMEMLIMIT=", fmt.Sprintf("%s=%d", childFloor, floor)), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, seen, _ := strings.Cut(string(out), "seen: ")
	if _, err := fmt.Sscan(seen, &o.count, &o.percent, &o.limit); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return o
}

var garbage []byte

// TestChildHeap is the other process: it allocates half a GiB.
func TestChildHeap(t *testing.T) {
	var floor int64
	if _, err := fmt.Sscan(os.Getenv(childFloor), &floor); err != nil {
		t.Skip("runs in the processes that other tests start")
	}
	new(Heap).Set(floor, 1<<30)
	for range 512 << 10 {
		garbage = make([]byte, 1<<10)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	c := current()
	fmt.Println("seen:", m.NumGC, c[0], c[1])
}
