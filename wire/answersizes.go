package wire

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
)

const (
	longAnswer  = 16 << 10 // shorter ones are not reserved for
	answerSlots = 256
)

// answerSizes is how long the answers of methods to arguments of about a length are of late: so much is reserved for a call
// that begins, since an answer cannot be refused when it is there. Methods may share a slot. Nothing is looked up before
// there has been a long answer.
type answerSizes struct {
	seed  maphash.Seed
	any   atomic.Bool
	slots [answerSlots]atomic.Int64
}

func (a *answerSizes) init() { a.seed = maphash.MakeSeed() }

// of returns the slot of the method that req calls, nil while no method has long answers.
func (a *answerSizes) of(req *Frame) *atomic.Int64 {
	if !a.any.Load() {
		return nil
	}
	return a.slot(req.Service, req.Method, len(req.Payload))
}

func (a *answerSizes) slot(service, method string, argument int) *atomic.Int64 {
	class := uint64(bits.Len(uint(argument)) / 2)
	return &a.slots[(maphash.String(a.seed, service)+31*maphash.String(a.seed, method)+class)%answerSlots]
}

// learn is told the length of an answer. Shorter ones count little, so that long ones are not forgotten between them.
func (a *answerSizes) learn(call *serverCall, n int64) {
	slot := call.answers
	if slot == nil {
		if n < longAnswer {
			return
		}
		a.any.Store(true)
		slot = a.slot(call.service, call.method, call.argument)
	}
	before := slot.Load()
	switch after := before - (before-n)/32; {
	case n >= before && n >= longAnswer:
		slot.Store(n)
	case before == 0 || n >= before:
	case after < longAnswer:
		slot.Store(0)
	default:
		slot.Store(after)
	}
}
