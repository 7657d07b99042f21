package telemetry

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/wire/code"
)

func TestACallAllocatesNothing(t *testing.T) {
	mm := New(Options{}).Method("Arith", "Mul", "rpcx")
	mm.Done(traffic.Here(), code.OK, time.Millisecond)
	if n := testing.AllocsPerRun(1000, func() {
		mm.Begin(traffic.Here())
		mm.Done(traffic.Here(), code.OK, time.Millisecond)
		mm.End(traffic.Here())
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAMethodIsResolvedOnce(t *testing.T) {
	m := New(Options{})
	first := m.Method("Arith", "Mul", "rpcx")
	if first != m.Method("Arith", "Mul", "rpcx") {
		t.Error("two handles for one method and transport")
	}
	if first == m.Method("Arith", "Mul", "http") {
		t.Error("one handle for two transports")
	}
	if m.Other("carrier pigeon") == nil || m.Other("rpcx") == m.Other("http") {
		t.Error("Other does not go by the transport")
	}
}

func TestADroppedMethodDisappearsAndOthersKeepCounting(t *testing.T) {
	m := New(Options{})
	stays, goes := m.Method("Arith", "Mul", "rpcx"), m.Method("Old", "Get", "rpcx")
	stays.Done(traffic.Here(), code.OK, time.Millisecond)
	goes.Done(traffic.Here(), code.OK, time.Millisecond)
	m.Other("rpcx").Done(traffic.Here(), code.Unimplemented, 0)
	goes.Begin(traffic.Here())

	m.Retain(func(name string) bool { return name == "Arith/Mul" })
	goes.Done(traffic.Here(), code.OK, time.Millisecond)
	goes.Done(traffic.Here(), code.Internal, time.Millisecond) // a code that was not seen before
	stays.Done(traffic.Here(), code.OK, time.Millisecond)

	text := scrape(t, m)
	if strings.Contains(text, "Old/Get") {
		t.Error("a late call brought the dropped method back")
	}
	wantLine(t, text, `rpc_server_call_duration_seconds_count{rpc_method="Arith/Mul",rpc_status_code="OK",rpc_system_name="rpcx",transport="rpcx"} 2`)
	if !strings.Contains(text, "_OTHER") {
		t.Error("_OTHER was dropped")
	}
	wantLine(t, text, "easymicro_inflight_requests 1")
	goes.End(traffic.Here())
	wantLine(t, scrape(t, m), "easymicro_inflight_requests 0")
	if len(m.leaving) != 0 {
		t.Error("a dropped method is kept though its calls are over")
	}

	again := m.Method("Old", "Get", "rpcx")
	if again == goes {
		t.Fatal("a method that came back has its old handle")
	}
	again.Done(traffic.Here(), code.OK, time.Millisecond)
	wantLine(t, scrape(t, m), `rpc_server_call_duration_seconds_count{rpc_method="Old/Get",rpc_status_code="OK",rpc_system_name="rpcx",transport="rpcx"} 1`)
}

func TestMethodsMayBeDroppedConcurrently(t *testing.T) {
	m := New(Options{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 500 {
				mm := m.Method("S", "M", "rpcx")
				mm.Begin(traffic.Here())
				mm.Done(traffic.Here(), code.Code(i%17), time.Millisecond)
				mm.End(traffic.Here())
				m.Retain(func(string) bool { return i%5 != 0 })
				m.WireError("bad_magic")
			}
		})
	}
	for range 5 {
		scrape(t, m)
	}
	wg.Wait()
	wantLine(t, scrape(t, m), "easymicro_inflight_requests 0")
}

func BenchmarkDone(b *testing.B) {
	mm := New(Options{}).Method("Arith", "Mul", "rpcx")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			mm.Begin(traffic.Here())
			mm.Done(traffic.Here(), code.OK, 137*time.Microsecond)
			mm.End(traffic.Here())
		}
	})
}

// What a call costs to be counted: in the metrics, in the counters of its method, and in the sketch of callers and peers.
func BenchmarkCounted(b *testing.B) {
	for _, peers := range []int{1, 100, 1_000_000} {
		b.Run(fmt.Sprint("peers=", peers), func(b *testing.B) {
			mm, sketch, end := New(Options{}).Method("Arith", "Mul", "rpcx"), traffic.NewSketch(), time.Now()
			addresses := make([]netip.Addr, peers)
			for i := range addresses {
				addresses[i] = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			}
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for n := 0; pb.Next(); n++ {
					at := traffic.Here()
					mm.Begin(at)
					mm.Done(at, code.OK, 137*time.Microsecond)
					sketch.Observe(at, mm.Traffic(), end, 137*time.Microsecond,
						traffic.Flow{Method: mm.Name(), Caller: "partner-7", Peer: addresses[n%peers]})
					mm.End(at)
				}
			})
		})
	}
}
