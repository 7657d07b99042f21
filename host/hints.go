package host

import (
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
)

const (
	hintEvery = 100 * time.Millisecond // how often the name that was probably meant is looked for, for callers,
	hintBurst = 20                     // and how often in a row
)

// hints bounds how often a name is compared with all that there are, for callers who invent names. It may be shared.
type hints struct {
	full atomic.Int64 // when nothing of the burst is missing again, in nanoseconds
}

// take reports whether one more name may be looked for.
func (h *hints) take() bool {
	now := time.Now().UnixNano()
	for {
		full := h.full.Load()
		next := max(full, now) + int64(hintEvery)
		if next > now+hintBurst*int64(hintEvery) {
			return false
		}
		if h.full.CompareAndSwap(full, next) {
			return true
		}
	}
}

// nearest is config.Suggest, for as long as there may be more.
func (h *hints) nearest(word string, known []string) string {
	if !h.take() {
		return ""
	}
	return config.Suggest(word, known)
}
