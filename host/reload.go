package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
)

// ErrNoSource is what Reload returns on a host that was given no Source.
var ErrNoSource = errors.New("this host has no files to reload from")

// settleTime is how long a set that loses many of its rules at once has to stay as it is before it is believed.
const settleTime = time.Second

// Reload reads the set again and puts it into force. source is one of the Source constants; who is shown in the
// history. The error says why nothing changed; a set that did not change is no error.
func (h *Host) Reload(ctx context.Context, source, who string) (Revision, error) {
	return h.reload(ctx, change{source: source, who: who})
}

func (h *Host) reload(ctx context.Context, c change) (Revision, error) {
	if h.source == nil {
		return Revision{}, ErrNoSource
	}
	h.reloading.Lock()
	defer h.reloading.Unlock()
	set, err := h.source.Load(ctx)
	running := h.Set()
	if err == nil {
		set, err = h.settle(ctx, running, set, &c)
	}
	switch {
	case h.draining.Load():
		return Revision{}, ErrDraining
	case err != nil:
		return h.refuse(c, err)
	case set.Hash == running.Hash && !c.force:
		return h.unchanged(set, c), nil
	}
	return h.apply(ctx, set, c)
}

// refuse records files that could not be read or decoded. The same bad content, seen again, is not news.
func (h *Host) refuse(c change, err error) (Revision, error) {
	hash, _ := h.source.Hash()
	r := h.rejected(hash, nil, c, err)
	if last := h.history.latest(); c.source == SourceFile && last.Result == ResultRejected && last.Hash == hash &&
		last.Error == r.Error && last.Problems.Error() == r.Problems.Error() {
		return last, err
	}
	h.record(r)
	return r, err
}

// unchanged is the outcome of reading what already runs. It is worth a word when somebody asked, and after a rejected
// attempt: files and host agree again.
func (h *Host) unchanged(set *config.Set, c change) Revision {
	r := Revision{
		Number: h.current.Load().revision, Hash: set.Hash, At: time.Now(), Source: c.source, Who: c.who,
		Result: ResultUnchanged, Rules: len(set.Rules), Files: set.Files, set: set,
	}
	if c.source != SourceFile || h.history.latest().Result == ResultRejected {
		h.record(r)
	}
	return r
}

// settle looks twice at a set that loses more than half of the rules at once: an editor or a sync may be half-way. It
// returns the set to apply, and warnings that name what goes.
func (h *Host) settle(ctx context.Context, running, set *config.Set, c *change) (*config.Set, error) {
	for {
		gone := lostRules(running, set)
		if len(gone) == 0 {
			return set, nil
		}
		if 2*len(gone) > len(enforced(running)) && !c.force {
			select {
			case <-time.After(settleTime):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			again, err := h.source.Load(ctx)
			if err != nil {
				return nil, err
			}
			if again.Hash != set.Hash {
				set = again
				continue
			}
		}
		c.warnings = append(c.warnings, lossWarning(running, gone))
		return set, nil
	}
}

// lostRules are the enforced rules that next no longer has, under their name or as somebody's former one.
func lostRules(running, next *config.Set) []*config.Rule {
	names := make(map[string]bool, len(next.Rules))
	for i := range next.Rules {
		names[next.Rules[i].Name] = true
		names[next.Rules[i].Was] = true
	}
	return slices.DeleteFunc(enforced(running), func(r *config.Rule) bool { return names[r.Name] })
}

// enforced are the rules that decide at the moment.
func enforced(set *config.Set) []*config.Rule {
	var list []*config.Rule
	for i := range set.Rules {
		r := &set.Rules[i]
		if r.Mode == config.Enforce && (r.Expires.IsZero() || time.Now().Before(r.Expires)) {
			list = append(list, r)
		}
	}
	return list
}

func lossWarning(running *config.Set, gone []*config.Rule) config.Problem {
	const named = 10
	var names []string
	for _, r := range gone[:min(named, len(gone))] {
		names = append(names, r.Name+" ("+r.Position("").String()+")")
	}
	list := strings.Join(names, ", ")
	if more := len(gone) - named; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return config.Problem{
		Message: fmt.Sprintf("%d of %d enforced rules were removed: %s", len(gone), len(enforced(running)), list), Warning: true,
	}
}
