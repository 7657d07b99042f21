package wire

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
)

const (
	longAnswer  = 16 << 10 // nothing is reserved for shorter ones
	answerSlots = 1024
)

// answerSizes is how long the answers of methods to arguments of about a length are of late: so much is reserved for a call
// that begins, since an answer cannot be refused when it is there. Methods may share a slot. Nothing is looked up before
// there has been a long answer.
type answerSizes struct {
	seed  uint64
	any   atomic.Bool
	slots [answerSlots]atomic.Int64
}

func (a *answerSizes) init() { a.seed = rand.Uint64() }

// of returns the slot of a method, nil while no method has long answers.
func (a *answerSizes) of(service, method string, argument int) *atomic.Int64 {
	if !a.any.Load() {
		return nil
	}
	return a.slot(service, method, argument)
}

// slot finds a method in whatever letter case it is called.
func (a *answerSizes) slot(service, method string, argument int) *atomic.Int64 {
	const prime = 1099511628211 // FNV-1a
	h := a.seed
	for _, name := range [...]string{service, method} {
		for i := range len(name) {
			h = (h ^ uint64(name[i]|0x20)) * prime
		}
		h = (h ^ '.') * prime
	}
	h = (h ^ uint64(bits.Len(uint(argument))/2)) * prime
	return &a.slots[(h>>32)%answerSlots]
}

// learn is told the length of an answer. The slot is what of has returned for its call.
func (a *answerSizes) learn(slot *atomic.Int64, service, method string, argument int, n int64) {
	if slot == nil {
		if n < longAnswer {
			return
		}
		a.any.Store(true)
		slot = a.slot(service, method, argument)
	}
	follow(slot, n)
}

// follow has size follow the lengths of answers. Shorter ones count little, so that long ones are not forgotten between
// them; 0 means that they are not long.
func follow(size *atomic.Int64, n int64) {
	before := size.Load()
	switch after := before - (before-n)/32; {
	case n >= before && n >= longAnswer:
		size.Store(n)
	case before == 0 || n >= before:
	case after < longAnswer:
		size.Store(0)
	default:
		size.Store(after)
	}
}
