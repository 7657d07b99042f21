package host

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/state"
	"github.com/easymicro/easymicro/host/view"
)

// Sources and results of attempts.
const (
	SourceStart     = admin.SourceStart
	SourceFile      = admin.SourceFile
	SourceSignal    = admin.SourceSignal
	SourceAdmin     = admin.SourceAdmin
	SourceApply     = admin.SourceApply
	ResultApplied   = admin.ResultApplied
	ResultRejected  = admin.ResultRejected
	ResultUnchanged = admin.ResultUnchanged
	ResultHeld      = admin.ResultHeld

	SourceRollback     = admin.SourceRollback
	SourceAutoRollback = admin.SourceAutoRollback
	ResultRolledBack   = admin.ResultRolledBack
)

// Attempt is one attempt to change what runs, and its result.
type Attempt = admin.Attempt

const (
	historyBytes = 8 << 20   // of texts, which are shown
	ruleBytes    = 2 << 10   // estimate for a rule that is kept
	historyRules = 128 << 20 // for rules, which are kept to be explained
	historyFiles = 64 << 20  // for the texts of files, from which revisions are put back
)

// historyEntry is an attempt with the set that it applied; nil if there is none, or if a previous process applied it.
type historyEntry struct {
	Attempt
	set *config.Set
}

// history keeps the last attempts.
type history struct {
	mu          sync.Mutex
	keep        int            // how many; 0 is view.RevisionsKept
	list        []historyEntry // the oldest first
	last        historyEntry   // the last one that read the files or was applied, unchanged ones included
	lastApplied historyEntry   // the last that was applied, which stays however many are rejected
}

func (h *history) add(r historyEntry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case r.Result == ResultRejected && byCommand(&r.Attempt), h.last.Result == ResultRejected && ofOverrides(&r.Attempt):
	default:
		h.last = r
	}
	switch {
	case r.MadeRevision():
		h.lastApplied = r
	case r.Result != ResultRejected:
		return
	}
	if r.set != nil {
		r.set = h.shared(r.set)
	}
	if last := len(h.list) - 1; r.Times > 1 && last >= 0 && isAgain(&h.list[last].Attempt, &r.Attempt) {
		h.list = h.list[:last]
	}
	h.list = append(h.list, r)
	first := h.firstRejected()
	at := -1
	h.list = slices.DeleteFunc(h.list, func(r historyEntry) bool {
		at++
		return at < first && r.Result == ResultRejected
	})
	h.list = slices.Delete(h.list, 0, h.tooOld())
}

// count has r count the equal attempts in a row that were rejected, if it is one of several.
func (h *history) count(r *Attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.list) == 0 {
		return
	}
	if last := &h.list[len(h.list)-1].Attempt; isAgain(last, r) {
		r.Times, r.Since = max(last.Times, 1)+1, last.Since
		if r.Since.IsZero() {
			r.Since = last.At
		}
	}
}

// isAgain reports whether an attempt was rejected as the one before it was.
func isAgain(before, r *Attempt) bool {
	return r.Result == ResultRejected && before.Result == ResultRejected && r.Number == before.Number && r.Source == before.Source && r.Who == before.Who &&
		r.Why == before.Why && r.Hash == before.Hash && r.Error == before.Error && r.Problems.Error() == before.Problems.Error()
}

// firstRejected returns the index of the first attempt from which on those that were rejected are kept: they have half of the room, so
// that a flood of them does not take the place of others.
func (h *history) firstRejected() int {
	n, texts, most := 0, 0, state.MaxRejected(cmp.Or(h.keep, view.RevisionsKept))
	for i, r := range slices.Backward(h.list) {
		if r.Result != ResultRejected {
			continue
		}
		n, texts = n+1, texts+r.textBytes()
		if n > 1 && (n > most || texts > historyBytes/2) {
			return i + 1
		}
	}
	return 0
}

// byCommand reports whether a command made the attempt with a set of its own: a rejected one says nothing about the files.
func byCommand(r *Attempt) bool {
	return r.Source == SourceApply || r.Source == SourceRollback || ofOverrides(r)
}

// ofOverrides reports whether an attempt changes the overrides alone.
func ofOverrides(r *Attempt) bool {
	return r.Source == admin.SourceOverride || r.Source == admin.SourceExpiry
}

// pinnedBy returns the attempt by which a revision runs in place of its files: overrides make further revisions of it.
func pinnedBy(list []Attempt, last *Attempt) *Attempt {
	for _, r := range slices.Backward(list) {
		if r.MadeRevision() && r.Pinned == last.Pinned && !ofOverrides(&r) {
			return &r
		}
	}
	return last
}

// shared returns a copy of a set that shares the memory of equal texts with the sets that are kept already.
func (h *history) shared(set *config.Set) *config.Set {
	known := make(map[string][]byte)
	for i := range h.list {
		if s := h.list[i].set; s != nil {
			maps.Copy(known, s.Texts)
		}
	}
	with := *set
	with.Texts = maps.Clone(set.Texts)
	for hash := range with.Texts {
		if text, ok := known[hash]; ok {
			with.Texts[hash] = text
		}
	}
	return &with
}

// restore prepends the attempts of previous processes.
func (h *history) restore(before []Attempt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]historyEntry, 0, len(before))
	for _, r := range before {
		list = append(list, historyEntry{Attempt: r})
	}
	h.list = append(list, h.list...)
}

// limit sets how many attempts are kept.
func (h *history) limit(keep int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keep = keep
}

// amend changes the attempt that made a revision.
func (h *history) amend(number int, change func(*Attempt)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of := func(r *historyEntry) {
		if r.Number == number && r.MadeRevision() {
			change(&r.Attempt)
		}
	}
	for i := range h.list {
		of(&h.list[i])
	}
	of(&h.last)
	of(&h.lastApplied)
}

// tooOld returns how many of the oldest attempts exceed the bounds. The last one is always kept.
func (h *history) tooOld() int {
	list, keep := h.list, cmp.Or(h.keep, view.RevisionsKept)
	texts, rules, files := 0, 0, 0
	counted := make(map[string]bool) // texts of files, by hash
	for i := len(list) - 1; i >= 0; i-- {
		texts += list[i].textBytes()
		rules += list[i].Rules * ruleBytes
		if list[i].set != nil {
			for hash, text := range list[i].set.Texts {
				if !counted[hash] {
					counted[hash], files = true, files+len(text)
				}
			}
		}
		if i < len(list)-1 && (len(list)-i > keep || texts > historyBytes || rules > historyRules || files > historyFiles) {
			return i + 1
		}
	}
	return 0
}

// textBytes estimates the memory of the texts of an attempt.
func (r *historyEntry) textBytes() int {
	const each = 100 // for numbers, and the names of members
	n := each + len(r.Who) + len(r.Why) + len(r.Error)
	for _, list := range [...]config.Problems{r.Problems, r.Warnings} {
		for i := range list {
			n += each + len(list[i].File) + len(list[i].Path) + len(list[i].Message) + len(list[i].Suggestion)
		}
	}
	for i := range r.Changes {
		c := &r.Changes[i]
		n += each + len(c.Subject) + len(c.Path) + len(c.Old) + len(c.New) + len(c.Text)
	}
	if r.Forecast != nil {
		for i := range r.Forecast.Findings {
			f := &r.Forecast.Findings[i]
			n += 4*each + len(f.Change) + len(f.NotForecast)
		}
	}
	for _, f := range r.Files {
		n += each + len(f.Path) + len(f.Hash)
	}
	return n
}

// all returns the attempts, the newest first.
func (h *history) all() []Attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	list := make([]Attempt, 0, len(h.list))
	for _, r := range slices.Backward(h.list) {
		list = append(list, r.Attempt)
	}
	return list
}

// applied returns the attempt that made a revision.
func (h *history) applied(number int) (historyEntry, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lastApplied.Number == number && number > 0 {
		return h.lastApplied, true
	}
	for _, r := range h.list {
		if r.Number == number && r.MadeRevision() {
			return r, true
		}
	}
	return historyEntry{}, false
}

// made returns the attempt that made a revision, even if it was undone.
func (h *history) made(number int) (historyEntry, bool) {
	if r, ok := h.applied(number); ok {
		return r, true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.list {
		if r.Number == number && r.Result == ResultRolledBack {
			return r, true
		}
	}
	return historyEntry{}, false
}

// unknown returns the error for a revision that is not known, with those that are.
func (h *history) unknown(number int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	first, last := h.lastApplied.Number, h.lastApplied.Number
	for i := range h.list {
		if r := &h.list[i]; r.MadeRevision() || r.Result == ResultRolledBack {
			first, last = min(first, r.Number), max(last, r.Number)
		}
	}
	return admin.Errorf(admin.CodeNotFound, "unknown revision %d: the history has %d to %d", number, first, last)
}

// set returns the set of a revision and when it was applied. It is a view.History.
func (h *history) set(number int) (*config.Set, time.Time, bool) {
	a, ok := h.applied(number)
	return a.set, a.At, ok && a.set != nil
}

func (h *history) latest() Attempt {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last.Attempt
}

// revisionOf returns the newest revision with a hash; 0 if none is known.
func (h *history) revisionOf(hash string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range slices.Backward(h.list) {
		if r.Hash == hash && (r.MadeRevision() || r.Result == ResultRolledBack) {
			return r.Number
		}
	}
	return 0
}

// sourceOf returns the source of a revision; "" if it is not known.
func (h *history) sourceOf(number int) string {
	r, _ := h.applied(number)
	return r.Source
}

// numbers returns the revisions that were applied and not undone, the newest first.
func (h *history) numbers() []int {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []int
	for _, r := range slices.Backward(h.list) {
		if r.MadeRevision() {
			list = append(list, r.Number)
		}
	}
	return list
}
