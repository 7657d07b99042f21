package host

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host/state"
)

// keptLoader is a Source that can make a set of texts that were kept, by path as shown.
type keptLoader interface {
	LoadKept(texts map[string][]byte) (*config.Set, error)
}

// badFiles are files that a host does not start from, and why.
type badFiles struct {
	hash     string
	files    []config.File
	problems config.Problems
}

// standIns finds good sets to start from in place of bad files.
type standIns struct {
	store  *state.Store
	source Source
}

// next returns the newest good set that may be tried, or nil, and those that cannot be used, as warnings. It skips sets under which the
// process died, and those for which tried is set.
func (s standIns) next(bad badFiles, tried map[string]bool) (set *config.Set, lost config.Problems) {
	source, ok := s.source.(keptLoader)
	if !ok {
		return nil, nil
	}
	for _, g := range s.store.Good() {
		if tried[g.Hash] || g.Hash == bad.hash || s.store.Boot.Condemned(g.Hash) != nil {
			continue
		}
		texts, err := s.store.Texts(g.Files)
		if err == nil {
			var set *config.Set
			if set, err = source.LoadKept(texts); err == nil {
				return inPlaceOf(bad, set, &g, lost), lost
			}
		}
		lost = append(lost, config.Problem{
			Path: "host.state", Message: fmt.Sprintf("the good set of r%d cannot be used: %s", g.Number, firstProblem(err)), Warning: true,
		})
	}
	return nil, lost
}

// newest returns the newest good set, which a start with another one is compared with, and its revision; nil if there is none, or if
// the process died under it.
func (s standIns) newest(starts *config.Set) (set *config.Set, revision int, err error) {
	source, ok := s.source.(keptLoader)
	list := s.store.Good()
	if !ok || len(list) == 0 || list[0].Hash == starts.Hash || s.store.Boot.Condemned(list[0].Hash) != nil {
		return nil, 0, nil
	}
	texts, err := s.store.Texts(list[0].Files)
	if err == nil {
		set, err = source.LoadKept(texts)
	}
	if err != nil {
		return nil, 0, err
	}
	set.Hash = list[0].Hash
	return set, list[0].Number, nil
}

// firstProblem returns an error in one line.
func firstProblem(err error) string {
	var problems config.Problems
	if !errors.As(err, &problems) || len(problems.Errors()) == 0 {
		return err.Error()
	}
	list := problems.Errors()
	if len(list) == 1 {
		return list[0].String()
	}
	return fmt.Sprintf("%s (and %d more)", list[0], len(list)-1)
}

// inPlaceOf turns a set that was kept into the replacement of bad files.
func inPlaceOf(bad badFiles, set *config.Set, g *state.Good, lost config.Problems) *config.Set {
	set.Hash, set.Replaces, set.Desired, set.Rejected = g.Hash, bad.hash, bad.files, bad.problems
	set.Fallback = fmt.Sprintf("last good set (r%d)", g.Number)
	w := set.Manifest.Position("policies.onBadStart").Problem("policies.onBadStart", fmt.Sprintf(
		"the last good set, r%d, good since %s, runs in place of the files", g.Number, g.GoodAt.UTC().Format(time.RFC3339)))
	w.Warning = true
	set.Warnings = slices.Concat(set.Warnings, lost, config.Problems{w})
	return set
}

// lastGood returns the set to start from when the files are bad and their manifest asks for it; nil if there is none. set is
// nil, or has the fallback; err is the error of the files, which may get one more problem.
func lastGood(source Source, dir string, set *config.Set, err error) *config.Set {
	var bad badFiles
	var m *config.Manifest
	loadErr := new(load.Error)
	switch {
	case errors.As(err, &loadErr):
		m, bad = loadErr.Manifest, badFiles{loadErr.Hash, loadErr.Files, loadErr.Problems}
	case err == nil && set.Fallback != "":
		m, bad = set.Manifest, badFiles{set.Replaces, set.Desired, set.Rejected}
	}
	if m == nil || m.Host.State == nil {
		return nil
	}
	asked := m.Policies.OnBadStart == config.OnBadStartLastGood
	if !asked && (m.Written("policies.onBadStart") || !slices.Contains(bad.problems.Errors().Files(), bad.files[0].Path)) {
		return nil
	}
	store := state.Read((&config.Set{Dir: dir}).Path(m.Host.State.Dir))
	good, lost := standIns{store, source}.next(bad, nil)
	if good == nil && asked && err != nil {
		why := "no last good set in " + m.Host.State.Dir + " to start from"
		if len(lost) > 0 {
			why = lost[0].Message
		}
		loadErr.Problems = append(loadErr.Problems, m.Position("policies.onBadStart").Problem("policies.onBadStart", why))
	}
	if good != nil && !asked && good.Manifest.Policies.OnBadStart != config.OnBadStartLastGood {
		return nil // the manifest cannot be read, and that of the good set does not ask for it
	}
	return good
}
