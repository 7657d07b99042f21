package host

import (
	"slices"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

// coveredEdit is an edit, or several, of rules that overrides change: it is not in force as it is written until these end.
type coveredEdit struct {
	revision int         // the last before the edit
	before   *config.Set // of that revision, without overrides
}

// after returns what overrides cover once next is in force. edit says that the files have changed, and those of baseline are the last
// that are known to be good.
func (c *coveredEdit) after(baseline, next *generation, edit bool) *coveredEdit {
	if c == nil && edit {
		c = &coveredEdit{baseline.revision, baseline.set.Plain()}
	}
	if c == nil || len(next.overrides) == 0 || !meets(c.edited(next), config.Diff(next.set.Plain(), next.set)) {
		return nil
	}
	return c
}

// uncovers reports whether a part of the edit comes into force with next, since overrides end.
func (c *coveredEdit) uncovers(prev, next *generation) bool {
	ended := func(x admin.Override) bool { return !slices.Contains(next.overrides, x) }
	return c != nil && slices.ContainsFunc(prev.overrides, ended) && meets(c.edited(next), next.changes)
}

// edited returns the subjects of the edit.
func (c *coveredEdit) edited(next *generation) map[string]bool {
	return config.Diff(c.before, next.set.Plain()).Subjects()
}

// meets reports whether changes are about one of the subjects.
func meets(subjects map[string]bool, changes config.Changes) bool {
	for s := range changes.Subjects() {
		if subjects[s] {
			return true
		}
	}
	return false
}
