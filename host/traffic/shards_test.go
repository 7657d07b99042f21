package traffic

import (
	"runtime"
	"sync"
	"testing"
	"time"
)

// Two processors with the same counters take turns on each cache line, which makes counting five times as slow.
func TestProcessorsLeaveASharedShard(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		t.Skip("needs two processors")
	}
	s := NewSketch()
	at := Here()
	shard := &s.live[at.Of(len(s.live))]
	shard.mu.Lock()
	var calls sync.WaitGroup
	for range 64 { // on whichever processors: those that have the Shard leave it
		calls.Go(func() { s.Observe(Here(), nil, time.Now(), 0, Flow{Method: "Arith/Mul"}) })
	}
	for deadline := time.Now().Add(time.Minute); Here() == at; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the processor keeps the Shard on which its calls wait")
		}
	}
	shard.mu.Unlock()
	calls.Wait()
}
