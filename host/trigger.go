package host

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/wire/code"
)

// trigger is what started an attempt, and how the attempt is made.
type trigger struct {
	source   string
	who, why string
	warnings config.Problems // for the record of the attempt

	hash     string // of the content that the watcher has just read; empty: the files are read again
	doubtful string // hash of a content that removes much: it is applied if it is still there
	force    bool   // held files and those that run already are applied, too, and evidence does not undo them

	match         string // hash of what must be running; empty: anything
	allowWider    bool
	heedsForecast bool       // the edit is not applied if its forecast exceeds a bound, as apply without --force asks
	revertAt      time.Time  // when the host goes back unless the revision is confirmed; zero: never
	holds         *heldFiles // in place of which the set is applied; nil: none
	heldAtStart   bool       // the host starts, and the files are not applied

	overrides func(overlay) overlay // changes those in force; nil: they stay

	undoes    *undoing      // by autoRollback; nil: nothing
	reverts   int           // the revision that was not confirmed; 0: none
	confirmed chan struct{} // closed once that revision is kept
	accepted  bool          // the set ran before and was accepted: it is not judged
}

const (
	maxReasonBytes = 2 << 10 // of each text of an attempt
	maxReasons     = 200     // problems of a rejected attempt
)

// attempt returns the record of an attempt after which g runs; nil: nothing does.
func (t *trigger) attempt(g *generation, result string, at time.Time) Attempt {
	r := Attempt{Source: t.source, Who: t.who, Why: code.Clip(t.why, maxReasonBytes), Result: result, At: at}
	if g != nil {
		r.Number = g.revision
	}
	if g != nil && result == ResultApplied {
		r.Hash, r.Rules, r.Files = g.set.Hash, len(g.set.Rules), g.set.Files
	}
	return r
}

// reject sets why the attempt is rejected: the problems of the files, or else the text of the error. Either is bounded, whatever was sent.
func reject(r *Attempt, err error) {
	if !errors.As(err, &r.Problems) {
		r.Error = code.Clip(err.Error(), maxReasonBytes)
	}
	few := r.Problems.Few()
	r.Problems = slices.Clone(few[:min(len(few), maxReasons)])
	for i := range r.Problems {
		p := &r.Problems[i]
		for _, text := range []*string{&p.File, &p.Path, &p.Message, &p.Suggestion} {
			*text = code.Clip(*text, maxReasonBytes)
		}
	}
}

// isConfirmed reports whether the revision to go back from is kept.
func (t *trigger) isConfirmed() bool {
	select {
	case <-t.confirmed:
		return true
	default:
		return false
	}
}

// staleError is the error of an attempt that was planned when something else was running.
type staleError struct {
	madeFor, running int // revisions; 0 is unknown
	by               string
}

func (e *staleError) Error() string {
	what := "another revision"
	if e.madeFor != 0 {
		what = fmt.Sprintf("r%d", e.madeFor)
	}
	return fmt.Sprintf("the plan is stale: made for %s; r%d, by %s, is running", what, e.running, cmp.Or(e.by, "unknown"))
}

// fromFiles reports whether the attempt follows the files.
func (t *trigger) fromFiles() bool {
	return t.source == SourceFile || t.source == SourceSignal || t.source == SourceAdmin
}

// overlay returns a set with the overrides of an attempt: those in force, unless it changes them. It leaves out overrides with which
// the set is not valid, if it is valid without, unless the attempt puts one in force. check returns the problems of a set.
func (t *trigger) overlay(prev *generation, set *config.Set, check func(*config.Set) error) (overlaid, error) {
	var list overlay
	if prev != nil {
		list = prev.overrides
	}
	if t.overrides != nil {
		list = t.overrides(list)
	}
	plain, now := set.Plain(), time.Now()
	if len(list) == 0 {
		return overlaid{set: plain}, nil
	}
	with := func(some overlay) (overlaid, error) {
		v, err := some.on(plain, now)
		if err == nil {
			err = check(v.set)
		}
		return v, err
	}
	v, err := with(list)
	if err == nil || t.source == admin.SourceOverride && !t.accepted {
		return v, err
	}
	if v, err = with(nil); err != nil {
		return v, err
	}
	var fits overlay
	var left overlaid // the warnings about the others
	for _, x := range list {
		if next, err := with(fits.with(x)); err == nil {
			v, fits = next, fits.with(x)
		} else {
			left.warn("the override %s has ended: the files are not valid with it: %s", x.Name, firstProblem(err))
		}
	}
	v.warnings = append(v.warnings, left.warnings...)
	return v, nil
}

// changes returns how two sets differ, without the autoRollback of overrides.
func (t *trigger) changes(prev, next *config.Set) config.Changes {
	list := config.Diff(prev, next)
	if t.overrides == nil {
		return list
	}
	return slices.DeleteFunc(list, func(c config.Change) bool { return c.Path == "autoRollback" })
}

func problemLines(p config.Problems) []string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return lines
}
