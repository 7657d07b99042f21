package host

import (
	"fmt"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
)

// undoing is a rollback of the edits of a window.
type undoing struct {
	window  *window
	guilty  int // the revision with the evidence against it
	verdict string
}

// mark changes the records of these edits, by amend.
func (u *undoing) mark(amend func(number int, change func(*Attempt))) {
	for _, e := range u.window.edits {
		amend(e.revision, func(r *Attempt) {
			r.Verdict = u.verdict
			if e.revision != u.guilty {
				r.Verdict = fmt.Sprintf("undone with r%d: %s", u.guilty, u.verdict)
			}
			if len(e.stay) > 0 {
				r.Verdict += "; in force still: " + strings.Join(e.stay, ", ")
				return
			}
			r.Result = ResultRolledBack
		})
	}
}

// edit is one of the edits of a window: of the files, or by command.
type edit struct {
	revision int
	subjects map[string]bool // what it changes
	stay     []string        // of these, what stays when the edits are undone
}

// edits are the edits of a window, which are undone together. The oldest comes first.
type edits []edit

// editsOf returns the edits of the window before next, and that which makes next unless it is one of overrides alone.
func editsOf(prev, next *generation, from trigger) edits {
	var all edits
	if w := prev.window.Load(); w != nil {
		all = slices.Clip(w.edits)
	}
	if from.overrides != nil {
		return all
	}
	return append(all, edit{revision: next.revision, subjects: config.Diff(prev.set.Plain(), next.set.Plain()).Subjects()})
}

// since returns the edits after a revision.
func (l edits) since(revision int) edits {
	return slices.DeleteFunc(slices.Clone(l), func(e edit) bool { return e.revision <= revision })
}

// without returns the edits that are not among others.
func (l edits) without(others edits) edits {
	return slices.DeleteFunc(slices.Clone(l), func(e edit) bool {
		return slices.ContainsFunc(others, func(o edit) bool { return o.revision == e.revision })
	})
}

// about returns the edits of some subjects. What they change besides stays.
func (l edits) about(subjects map[string]bool) (list edits) {
	for _, e := range l {
		stay, met := []string(nil), false
		for s := range e.subjects {
			if subjects[s] {
				met = true
			} else {
				stay = append(stay, s)
			}
		}
		if met {
			slices.Sort(stay)
			list = append(list, edit{e.revision, e.subjects, stay})
		}
	}
	return list
}

// guilty returns the revision of the last edit of a rule or, if there is none, of the last edit.
func (l edits) guilty(rule string) int {
	for _, e := range slices.Backward(l) {
		if e.subjects[rule] {
			return e.revision
		}
	}
	return l[len(l)-1].revision
}

// others tells which revisions are undone with the guilty one, and how they come back; empty: none are.
func (l edits) others(guilty int, inPlace bool) string {
	const shown = 10
	var names []string
	for _, e := range l {
		if e.revision != guilty {
			names = append(names, fmt.Sprintf("r%d", e.revision))
		}
	}
	switch n := len(names); {
	case n == 0:
		return ""
	case n > shown:
		names = append(names[:shown], fmt.Sprintf("%d more", n-shown))
	}
	back := fmt.Sprintf("mend r%d in the files and save them, and all else in them is applied again", guilty)
	if inPlace {
		back = "easymicro history show REVISION --files prints their files, to apply them again"
	}
	return fmt.Sprintf(". Undone with r%d: %s; %s", guilty, strings.Join(names, ", "), back)
}
