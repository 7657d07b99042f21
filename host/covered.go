package host

import (
	"errors"
	"maps"
	"slices"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

// coveredEdit is an edit, or several, of rules that overrides change: it is not in force as it is written until these end.
type coveredEdit struct {
	revision int         // the last before the edit
	before   *config.Set // of that revision, without overrides
	edits    edits       // all since then that are in force or covered
}

// after returns what overrides cover once next is in force. made are the edits so far, and those of baseline are the last that are known
// to be good. isEdit says that the last of them is new.
func (c *coveredEdit) after(baseline, next *generation, made edits, isEdit bool) *coveredEdit {
	switch {
	case isEdit && c == nil:
		c = &coveredEdit{baseline.revision, baseline.set.Plain(), made.since(baseline.revision)}
	case isEdit:
		c = &coveredEdit{c.revision, c.before, append(slices.Clip(c.edits), made[len(made)-1])}
	}
	if c == nil || len(next.overrides) == 0 || !meets(c.edited(next), config.Diff(next.set.Plain(), next.set)) {
		return nil
	}
	return c
}

// undone returns what overrides cover once edits are undone.
func (c *coveredEdit) undone(list edits) *coveredEdit {
	if c == nil {
		return nil
	}
	return &coveredEdit{c.revision, c.before, c.edits.without(list)}
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

// back returns the set to go back to from next, which uncovers a part of the edit, and the edits that are undone with it: what was in
// force besides stays. If the files cannot be edited so, it is the set before all of these edits.
func (c *coveredEdit) back(next *generation, source Source, check func(*config.Set) error) (*config.Set, edits) {
	uncovered := c.edited(next)
	comes := next.changes.Subjects()
	maps.DeleteFunc(uncovered, func(subject string, _ bool) bool { return !comes[subject] })
	if kept, ok := source.(keptLoader); ok {
		set, err := putBack(kept, next.set.Plain(), c.before, uncovered)
		if err == nil && check(set) == nil {
			return set, c.edits.about(uncovered)
		}
	}
	return c.before, c.edits
}

// errPutBack is the error of rules that cannot be put back as they were.
var errPutBack = errors.New("the rules cannot be put back as they were")

// maxPutBack bounds the rules that are put back, for each of which the files are parsed while no edit can be applied.
const maxPutBack = 32

// putBack makes a set of the files of another, but with some rules as they were before.
func putBack(source keptLoader, set, before *config.Set, rules map[string]bool) (*config.Set, error) {
	texts, were := set.TextsByPath(), before.TextsByPath()
	if texts == nil || were == nil || len(rules) > maxPutBack {
		return nil, errPutBack
	}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		r, was := set.Rule(name), before.Rule(name)
		if r == nil {
			return nil, errPutBack
		}
		var wasText []byte
		file := r.Position("name").File
		if was != nil {
			if was.Position("name").File != file {
				return nil, errPutBack
			}
			wasText = were[file]
		}
		now, err := source.LoadKept(texts) // with the lines as they are after the rule before
		if err != nil {
			return nil, err
		}
		if r = now.Rule(name); r == nil {
			return nil, errPutBack
		}
		if texts[file], err = config.PutBack(r, texts[file], was, wasText); err != nil {
			return nil, err
		}
	}
	next, err := source.LoadKept(texts)
	if err != nil {
		return nil, err
	}
	for subject := range config.Diff(set, next).Subjects() {
		if !rules[subject] {
			return nil, errPutBack
		}
	}
	if meets(rules, config.Diff(before, next)) {
		return nil, errPutBack
	}
	return next, nil
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
