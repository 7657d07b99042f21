package limit_test

import (
	"testing"

	"github.com/easymicro/easymicro/policies/limit"
)

func TestPermitGrantedToAWaiterThatLeavesPassesOn(t *testing.T) {
	s := limit.NewSemaphore(1, 2)
	s.Lock()
	s.Acquire()
	w := s.Enqueue()
	s.Unlock()
	s.Release() // grants w
	s.Leave(w)
	if n, _ := s.Counts(); n != 0 {
		t.Errorf("%d in flight", n)
	}
}
