package host

import (
	"slices"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/view"
)

// What started an attempt to change what runs.
const (
	SourceStart  = "start"
	SourceFile   = "file"
	SourceSignal = "signal"
	SourceAdmin  = "admin"
	SourceApply  = "apply"
)

// What came of an attempt.
const (
	ResultApplied   = "applied"
	ResultRejected  = "rejected"
	ResultUnchanged = "unchanged"
)

// Revision is one attempt to change what runs, and its result.
type Revision = admin.Revision

const (
	historyBytes = 8 << 20   // of texts, which are shown
	ruleBytes    = 2 << 10   // what a rule that is kept may take
	historyRules = 128 << 20 // for rules, which are kept to be explained
)

// attempt is a revision with its set; nil if there is none.
type attempt struct {
	Revision
	set *config.Set
}

// history keeps the last attempts.
type history struct {
	mu          sync.Mutex
	list        []attempt // the oldest first
	last        attempt   // the last one, unchanged ones included
	lastApplied attempt   // the last that was applied, which stays however many are rejected
}

func (h *history) add(r attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = r
	switch r.Result {
	case ResultUnchanged:
		return
	case ResultApplied:
		h.lastApplied = r
	}
	h.list = append(h.list, r)
	h.list = slices.Delete(h.list, 0, tooOld(h.list))
}

// tooOld returns how many of the oldest revisions exceed the bounds. The last one is always kept.
func tooOld(list []attempt) int {
	texts, rules := 0, 0
	for i := len(list) - 1; i >= 0; i-- {
		texts += list[i].textBytes()
		rules += list[i].Rules * ruleBytes
		if i < len(list)-1 && (len(list)-i > view.RevisionsKept || texts > historyBytes || rules > historyRules) {
			return i + 1
		}
	}
	return 0
}

// textBytes estimates the memory of the texts of a revision.
func (r *attempt) textBytes() int {
	const each = 100 // for numbers, and the names of members
	n := each + len(r.Why) + len(r.Who) + len(r.Error)
	for _, list := range [...]config.Problems{r.Problems, r.Warnings} {
		for i := range list {
			n += each + len(list[i].File) + len(list[i].Path) + len(list[i].Message) + len(list[i].Suggestion)
		}
	}
	for i := range r.Changes {
		c := &r.Changes[i]
		n += each + len(c.Subject) + len(c.Path) + len(c.Old) + len(c.New) + len(c.Text)
	}
	for _, f := range r.Files {
		n += each + len(f.Path) + len(f.Hash)
	}
	return n
}

// all returns the attempts, the newest first.
func (h *history) all() []Revision {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Revision, 0, len(h.list))
	for _, r := range slices.Backward(h.list) {
		list = append(list, r.Revision)
	}
	return list
}

// applied returns the attempt that made a revision.
func (h *history) applied(number int) (attempt, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lastApplied.Number == number && number > 0 {
		return h.lastApplied, true
	}
	for _, r := range h.list {
		if r.Number == number && r.Result == ResultApplied {
			return r, true
		}
	}
	return attempt{}, false
}

// set is applied as a view.History.
func (h *history) set(number int) (*config.Set, time.Time, bool) {
	a, ok := h.applied(number)
	return a.set, a.At, ok
}

func (h *history) latest() Revision {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last.Revision
}
