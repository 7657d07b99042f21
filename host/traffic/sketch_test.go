package traffic

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

func peerOf(n int) netip.Addr {
	var a [16]byte
	a[0] = 0xfd
	binary.BigEndian.PutUint64(a[8:], uint64(n))
	return netip.AddrFrom16(a)
}

// summed returns the calls and the recent calls of the flows that match.
func summed(list []Counted, match func(f *Flow) bool) (calls, recent uint64) {
	for i := range list {
		if match(&list[i].Flow) {
			calls, recent = calls+list[i].Calls, recent+list[i].Recent
		}
	}
	return calls, recent
}

func all(*Flow) bool { return true }

// The codes of handlers are numbers that nobody checks.
func TestCodesThatDoNotExistAreCounted(t *testing.T) {
	s := NewSketch()
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		for n := range 3 * rowsOfSpan {
			s.Observe(Here(), nil, time.Now(), 0, Flow{Method: fmt.Sprint(n), Code: code.Code(n % 256)})
		}
	}()
	select {
	case <-counted:
	case <-time.After(time.Minute):
		t.Fatal("they are not counted")
	}
	list, _ := s.Flows(time.Now())
	if n, _ := summed(list, all); n != 3*rowsOfSpan {
		t.Errorf("%d calls", n)
	}
	for i := range list {
		if int(list[i].Code) >= codes {
			t.Errorf("%+v", list[i])
		}
	}
}

func TestFlowsAreCountedApart(t *testing.T) {
	s := NewSketch()
	flows := []Flow{
		{Method: "Arith/Mul", Caller: "web", Peer: peerOf(1)},
		{Method: "Arith/Mul", Caller: "web", Peer: peerOf(2)},
		{Method: "Arith/Mul", Caller: "web", Peer: peerOf(1), Code: code.ResourceExhausted, Refused: true},
		{Method: "Arith/Mul", Caller: "job", Peer: peerOf(1)},
		{Method: "Arith/Div", Caller: "web", Peer: peerOf(1)},
	}
	for i, f := range flows {
		for range i + 1 {
			s.Observe(Here(), nil, time.Now(), time.Millisecond, f)
		}
	}
	list, _ := s.Flows(time.Now())
	if len(list) != len(flows) {
		t.Fatalf("%d flows: %+v", len(list), list)
	}
	for i, f := range flows {
		n, _ := summed(list, func(other *Flow) bool { return *other == f })
		if n != uint64(i)+1 {
			t.Errorf("%+v: %d calls", f, n)
		}
	}
	if list[0].Took != time.Duration(list[0].Calls)*time.Millisecond {
		t.Error(list[0].Took)
	}
}

func TestTheSketchKeepsFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSketch()
		f := Flow{Method: "Arith/Mul", Caller: "web"}
		for range 3 * int(Window/time.Second) {
			s.Observe(Here(), nil, time.Now(), 0, f)
			time.Sleep(time.Second)
		}
		list, recent := s.Flows(time.Now())
		if n, r := summed(list, all); n != uint64(Window/time.Second) || r != 5 || recent != sketchSpan {
			t.Errorf("%d calls, %d within %v", n, r, recent)
		}
		time.Sleep(Window - 5*time.Second)
		if n, r := summed(flowsOf(s), all); n != 5 || r != 0 {
			t.Errorf("after almost five minutes: %d calls, %d recent", n, r)
		}
		time.Sleep(time.Hour)
		if n, _ := summed(flowsOf(s), all); n != 0 {
			t.Errorf("%d calls after an hour", n)
		}
		s.Observe(Here(), nil, time.Now(), 0, f)
		if n, r := summed(flowsOf(s), all); n != 1 || r != 1 {
			t.Errorf("%d calls, %d recent", n, r)
		}
	})
}

func flowsOf(s *Sketch) []Counted {
	list, _ := s.Flows(time.Now())
	return list
}

// A flood of peers or callers that never come twice hides neither a caller with a tenth of the calls nor the sums.
func TestAFloodHidesNoHeavyCaller(t *testing.T) {
	for _, invented := range []string{"peers", "callers"} {
		t.Run(invented, func(t *testing.T) {
			s, now := NewSketch(), time.Now()
			const calls = 200000
			for i := range calls {
				f := Flow{Method: "Arith/Mul", Caller: "anonymous", Peer: peerOf(i)}
				if invented == "callers" {
					f.Caller, f.Peer = fmt.Sprint("user-", i), peerOf(0)
				}
				if i%10 == 0 {
					f.Caller, f.Peer = "heavy", peerOf(1<<40)
				}
				s.Observe(Here(), nil, now, 0, f)
				now = now.Add(200 * time.Microsecond) // 40 s
			}
			list, _ := s.Flows(now)
			if n, _ := summed(list, all); n != calls {
				t.Errorf("%d calls of %d", n, calls)
			}
			if n, _ := summed(list, func(f *Flow) bool { return f.Caller == "heavy" && f.Peer == peerOf(1<<40) }); n < calls/10*99/100 {
				t.Errorf("%d of %d calls of the heavy caller", n, calls/10)
			}
			if n, _ := summed(list, func(f *Flow) bool { return f.Method == "Arith/Mul" }); n != calls {
				t.Errorf("%d calls of the method", n)
			}
			if n, _ := summed(list, func(f *Flow) bool { return f.Caller == "anonymous" }); invented == "peers" && n != calls-calls/10 {
				t.Errorf("%d anonymous calls", n)
			}
		})
	}
}

// The worst that callers can do: in each span other callers with long names, from other peers.
func TestTheSketchIsBounded(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s, now := NewSketch(), time.Now()
	name := strings.Repeat("x", 2*maxCallerBytes)
	for i := range 2 * sketchSpans {
		for j := range 4 * rowsOfSpan {
			n := i*4*rowsOfSpan + j
			s.Observe(Here(), nil, now, 0, Flow{Method: fmt.Sprint("S/", j%rowsOfSpan), Caller: fmt.Sprint(n, name), Peer: peerOf(n)})
		}
		now = now.Add(sketchSpan)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	const most = 16 << 20
	held := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	if t.Logf("%d bytes", held); held > most {
		t.Errorf("more than %d bytes", most)
	}
	if n, _ := summed(flowsOf(s), all); n == 0 {
		t.Error("no calls")
	}
}

func TestNoCallOfTheSketchIsLost(t *testing.T) {
	s, begin := NewSketch(), time.Now()
	const callers, each = 8, 20000
	var calling sync.WaitGroup
	for c := range callers {
		calling.Go(func() {
			for i := range each {
				s.Observe(Here(), nil, begin.Add(time.Duration(i)*time.Millisecond), 0, Flow{Method: "Arith/Mul", Caller: fmt.Sprint(c)})
				if i%1000 == 0 {
					s.Flows(begin.Add(time.Duration(i) * time.Millisecond))
				}
			}
		})
	}
	calling.Wait()
	list, _ := s.Flows(begin.Add(each * time.Millisecond))
	if n, _ := summed(list, all); n != callers*each || len(list) != callers {
		t.Errorf("%d calls, %d flows", n, len(list))
	}
}

// What a call pays for its method's counters and for the sketch together.
func BenchmarkObserveFlow(b *testing.B) {
	for _, peers := range []int{1, 100, 1000000} {
		b.Run(fmt.Sprint("peers=", peers), func(b *testing.B) {
			m, s, end := New(), NewSketch(), time.Now()
			m.Observe(Here(), end, time.Millisecond, code.OK, false)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for n := 0; pb.Next(); n++ {
					s.Observe(Here(), m, end, 130*time.Microsecond, Flow{Method: "Arith/Mul", Caller: "partner-7", Peer: peerOf(n % peers)})
				}
			})
		})
	}
}

func TestTheRecordHasTheCallsBySpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSketch()
		if list := s.Record(time.Now()); len(list) != 0 {
			t.Errorf("without calls: %v", list)
		}
		time.Sleep(7 * time.Second)
		s.Observe(Here(), nil, time.Now(), time.Second, Flow{Method: "Arith/Mul"})
		time.Sleep(10 * time.Second)
		s.Observe(Here(), nil, time.Now(), time.Second, Flow{Method: "Arith/Div"})
		time.Sleep(time.Second)
		var got []string
		for _, span := range s.Record(time.Now()) {
			text := span.Length.String()
			for _, r := range span.Rows {
				text += fmt.Sprintf(" %s %d %s", r.Method, r.Calls, r.Took)
			}
			got = append(got, text)
		}
		if want := []string{"5s Arith/Mul 1 1s", "5s", "3s Arith/Div 1 1s"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		time.Sleep(Window)
		if list := s.Record(time.Now()); len(list) != 0 {
			t.Errorf("after five minutes: %v", list)
		}
	})
}
