package wire

import (
	"math/bits"
	"math/rand/v2"
	"sync/atomic"
)

const (
	longAnswer  = 16 << 10 // nothing is reserved for shorter answers
	answerSlots = 1024
)

// answerSizes estimates the length of an answer from the method's recent answers to arguments of similar length, because
// memory is reserved before the call runs. Methods may share a slot. Nothing is looked up before the first long answer.
type answerSizes struct {
	seed  uint64
	any   atomic.Bool
	slots [answerSlots]atomic.Int64
}

func (a *answerSizes) init() { a.seed = rand.Uint64() }

// of returns the slot of a method; nil while no method has long answers.
func (a *answerSizes) of(service, method string, argument int) *atomic.Int64 {
	if !a.any.Load() {
		return nil
	}
	return a.slot(service, method, argument)
}

// slot ignores the case of names, as the lookup of methods does.
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

// learn records the length of an answer. The slot is what of returned for its call.
func (a *answerSizes) learn(slot *atomic.Int64, service, method string, argument int, n int64) {
	if slot == nil {
		if n < longAnswer {
			return
		}
		a.any.Store(true)
		slot = a.slot(service, method, argument)
	}
	updateEstimate(slot, n)
}

// updateEstimate rises at once and decays slowly, so that a few short answers do not hide the long ones between them. An
// estimate below longAnswer becomes 0.
func updateEstimate(estimate *atomic.Int64, n int64) {
	before := estimate.Load()
	switch after := before - (before-n)/32; {
	case n >= before && n >= longAnswer:
		estimate.Store(n)
	case before == 0 || n >= before:
	case after < longAnswer:
		estimate.Store(0)
	default:
		estimate.Store(after)
	}
}
