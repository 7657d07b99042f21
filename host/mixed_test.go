package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
)

// parcels echoes, after a while.
type parcels struct{}

type parcel struct {
	Data  string        `json:"data"`
	Sleep time.Duration `json:"sleep,omitempty"`
}

func (parcels) Echo(_ context.Context, args, reply *parcel) error {
	if args.Sleep > 0 {
		time.Sleep(args.Sleep)
	}
	reply.Data = args.Data
	return nil
}

// randomParcel has 50 bytes to 100 KB, most of them few, and one in four makes the handler sleep for up to 20 ms.
func randomParcel(r *rand.Rand) parcel {
	p := parcel{Data: strings.Repeat(string(rune('a'+r.IntN(26))), 50<<r.IntN(6))}
	switch r.IntN(16) {
	case 0:
		p.Data = strings.Repeat(p.Data, 1+(100<<10)/len(p.Data))[:100<<10]
	case 1, 2, 3, 4:
		p.Sleep = time.Duration(r.IntN(20)) * time.Millisecond
	}
	return p
}

// Over rpcx and HTTP, with peers beside that hardly read their answers, and edits ten times a second in every other slice of
// the time: all calls are answered, and what the process holds does not grow. With TEST_EASYMICRO_LONG it takes ten minutes;
// the log has the throughput of the slices with edits in relation to those without.
func TestAMixedLoadWithEditsLosesNoCallAndHoldsNoMore(t *testing.T) {
	if !alone(t) {
		return
	}
	slices, slice := 4, 400*time.Millisecond
	if os.Getenv("TEST_EASYMICRO_LONG") != "" {
		slices, slice = 40, 15*time.Second
	}
	reg := registry.New()
	registry.Plain(parcels{}, registry.As("test.parcels"), registry.In(reg))
	const file = "p.yaml"
	rules := func(n int) string {
		return fmt.Sprintf("rules: [{name: p, match: {service: Parcels}, timeout: 30s, rateLimit: {rate: %d, burst: 1000000}}]\n", 1_000_000+n)
	}
	h := hosttest.Start(t, "services: [{name: Parcels, handler: test.parcels}]\npolicies: {files: [p.yaml], watch: {debounce: 10ms}}\n",
		hosttest.Options{Registry: reg, Log: io.Discard, Files: map[string]string{file: rules(0)}})

	var ending atomic.Bool
	var count atomic.Int64
	var callers sync.WaitGroup
	call := func(seed int, do func(parcel) (parcel, error)) {
		callers.Go(func() {
			for r := rand.New(rand.NewPCG(1, uint64(seed))); !ending.Load(); count.Add(1) {
				p := randomParcel(r)
				if got, err := do(p); err != nil || got.Data != p.Data {
					t.Errorf("caller %d, %d bytes: %d bytes, %v", seed, len(p.Data), len(got.Data), err)
					return
				}
			}
		})
	}
	shared := []*wire.Conn{h.Dial(), h.Dial()}
	for i := range 24 {
		call(i, func(p parcel) (got parcel, err error) {
			return got, hosttest.CallJSON(context.Background(), shared[i%2], "Parcels", "Echo", p, &got)
		})
	}
	for i := range 8 {
		call(100+i, func(p parcel) (got parcel, err error) {
			body, err := json.Marshal(p)
			if err != nil {
				return got, err
			}
			_, text, err := h.TryPost("/Parcels/Echo", string(body))
			if err != nil {
				return got, err
			}
			return got, json.Unmarshal([]byte(text), &got)
		})
	}
	slow := slowReaders(t, h.Address, &ending)

	var calls [2]int64 // in the slices without edits, and in those with
	var held, goroutines, edits int
	for n := range slices {
		begin, before := time.Now(), count.Load()
		for time.Since(begin) < slice {
			if n%2 == 1 {
				edits++
				h.Write(file, rules(edits))
			}
			time.Sleep(100 * time.Millisecond)
		}
		calls[n%2] += count.Load() - before
		if n == 1 {
			held, goroutines = int(heapInUse()), runtime.NumGoroutine()
		}
	}
	heldAtEnd, goroutinesAtEnd := int(heapInUse()), runtime.NumGoroutine()
	ending.Store(true)
	callers.Wait()
	slow.Wait()
	t.Logf("%d calls, %d edits; with edits %.2f of the calls without; heap %d to %d MiB, goroutines %d to %d",
		count.Load(), edits, float64(calls[1])/float64(calls[0]), held>>20, heldAtEnd>>20, goroutines, goroutinesAtEnd)
	if heldAtEnd > held+64<<20 {
		t.Errorf("the heap grew from %d to %d MiB", held>>20, heldAtEnd>>20)
	}
	if goroutinesAtEnd > goroutines+200 {
		t.Errorf("%d goroutines, then %d", goroutines, goroutinesAtEnd)
	}
}

// slowReaders send calls with long answers, of which they read a kilobyte from time to time.
func slowReaders(t *testing.T, address string, ending *atomic.Bool) *sync.WaitGroup {
	t.Helper()
	payload, err := json.Marshal(parcel{Data: strings.Repeat("s", 100<<10)})
	must(t, err)
	var all sync.WaitGroup
	for range 4 {
		conn, err := net.Dial("tcp", address)
		must(t, err)
		all.Go(func() {
			defer conn.Close()
			for seq := range uint64(5) {
				_, err := conn.Write(wire.AppendFrame(nil, &wire.Frame{Codec: wire.JSON, Seq: seq, Service: "Parcels", Method: "Echo", Payload: payload}))
				if err != nil {
					t.Error(err)
					return
				}
			}
			for some := make([]byte, 1<<10); !ending.Load(); time.Sleep(20 * time.Millisecond) {
				_ = conn.SetReadDeadline(time.Now().Add(time.Second))
				_, _ = conn.Read(some) // the host may cut it
			}
		})
	}
	return &all
}
