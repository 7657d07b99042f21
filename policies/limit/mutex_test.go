package limit

import (
	"runtime"
	"sync"
	"testing"
)

// Meant for the race detector, too.
func TestMutexAdmitsOneAtATime(t *testing.T) {
	const goroutines, each = 8, 2000
	var mu mutex
	var all sync.WaitGroup
	n := 0
	for range goroutines {
		all.Go(func() {
			for i := range each {
				mu.Lock()
				n++
				if i%100 == 0 {
					runtime.Gosched() // the others try in vain, and sleep
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if n != goroutines*each {
		t.Errorf("%d, want %d", n, goroutines*each)
	}
}
