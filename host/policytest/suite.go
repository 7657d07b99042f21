package policytest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/registry"
)

// suite is a file of policy tests with the rules that it tests. It has no cases if there are problems.
type suite struct {
	outcome Suite
	test    *config.PolicyTest
	rules   *ruleset
	against *ruleset
	now     time.Time
	met     map[string]uint64
}

// run runs one case, and the same calls under the older rules if it compares with them.
func (s *suite) run(t *testing.T, number int) Case {
	t.Helper()
	c, path, began := &s.test.Cases[number], fmt.Sprintf("cases[%d]", number), time.Now()
	var before *scene
	var after *scene
	j := judge{test: s.test, path: path, failures: config.Problems{}}
	var err error
	if c.Expect.NobodyNew {
		synctest.Test(t, func(t *testing.T) { before, err = play(t.Context(), s.against, c, "", s.now) })
	}
	if err == nil {
		synctest.Test(t, func(t *testing.T) { after, err = play(t.Context(), s.rules, c, c.Assume, s.now) })
	}
	if err != nil {
		j.fail(path, nil, "%v", err)
		after = new(scene)
	} else {
		j.scene(c, number, before, after)
	}
	for rule, n := range after.met {
		s.met[rule] += n
	}
	return Case{
		Name: c.Name, Line: s.test.Position(path).Line, Seen: after.tally(), VirtualMS: after.virtual.Milliseconds(),
		TookMS: float64(time.Since(began).Microseconds()) / 1000, Failures: j.failures,
	}
}

// coverage returns how often each rule was met.
func (s *suite) coverage() []Coverage {
	list := []Coverage{}
	for i := range s.rules.set.Rules {
		r := &s.rules.set.Rules[i]
		list = append(list, Coverage{r.Name, r.Position("").String(), string(r.Mode), s.met[r.Name]})
	}
	return list
}

// loadSuites loads the files and all that they name. It returns an error if a file cannot be found; problems in a file are in its
// suite.
func loadSuites(ctx context.Context, o *Options) ([]*suite, error) {
	paths, err := find(o.Files)
	if err != nil {
		return nil, err
	}
	l := &loader{registry: cmp.Or(o.Registry, registry.Default()), against: o.Against, known: make(map[string]*ruleset)}
	suites := make([]*suite, len(paths))
	for i, path := range paths {
		if suites[i], err = l.suite(ctx, path); err != nil {
			return nil, err
		}
	}
	return suites, nil
}

// find replaces directories by the files of policy tests in them.
func find(paths []string) (found []string, err error) {
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("%s: no such file", path)
		case err != nil || !info.IsDir():
			found = append(found, path) // reading it says what is wrong
			continue
		}
		tests, err := inDirectory(path)
		if err != nil {
			return nil, err
		}
		if len(tests) == 0 {
			return nil, fmt.Errorf("%s: no file in it has policy tests, which are under the key cases", path)
		}
		found = append(found, tests...)
	}
	return found, nil
}

// inDirectory returns the files of policy tests in a directory.
func inDirectory(dir string) (tests []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext != ".yaml" && ext != ".yml" {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if data, err := files.Read(path, config.MaxFileBytes); err == nil && slices.Contains(config.OutlineOf(data).Keys, "cases") {
			tests = append(tests, path)
		}
	}
	return tests, nil
}

// loader loads the files of a run; a manifest that several of them name is read once.
type loader struct {
	registry *registry.Registry
	against  string
	known    map[string]*ruleset
}

func (l *loader) suite(ctx context.Context, path string) (*suite, error) {
	s := &suite{outcome: Suite{File: path, Cases: []Case{}}, test: new(config.PolicyTest), now: time.Now(), met: make(map[string]uint64)}
	data, err := files.Read(path, config.MaxFileBytes)
	if err != nil {
		s.outcome.Problems = config.Problems{{File: path, Message: files.Reason(err)}}
		return s, nil
	}
	test, problems := config.DecodePolicyTest(path, data, os.LookupEnv)
	if problems.Err() == nil {
		problems = append(problems, l.rules(ctx, s, path, test)...)
	}
	if problems.Err() == nil {
		problems = append(problems, (&checker{suite: s, test: test}).check()...)
	}
	if s.outcome.Problems = problems.Sort().Errors(); len(s.outcome.Problems) == 0 {
		s.test = test
	}
	return s, ctx.Err()
}

// rules loads the manifests of a file.
func (l *loader) rules(ctx context.Context, s *suite, path string, test *config.PolicyTest) (problems config.Problems) {
	beside := func(file string) string {
		if filepath.IsAbs(file) {
			return file
		}
		return filepath.Join(filepath.Dir(path), file)
	}
	s.outcome.Manifest = beside(test.Manifest)
	var err error
	if s.rules, err = l.ruleset(ctx, s.outcome.Manifest); err != nil {
		if problems, ok := errors.AsType[config.Problems](err); ok {
			return problems
		}
		return config.Problems{test.Position("manifest").Problem("manifest", unusable(s.outcome.Manifest, err))}
	}
	switch {
	case l.against != "":
		if s.against, err = l.ruleset(ctx, l.against); err != nil {
			problems = config.Problems{{File: "--against", Message: unusable(l.against, err)}}
		}
	case test.Against != "":
		older := beside(test.Against)
		if s.against, err = l.ruleset(ctx, older); err != nil {
			problems = config.Problems{test.Position("against").Problem("against", unusable(older, err))}
		}
	}
	return problems
}

// unusable returns why a manifest cannot be used, such as its first problem.
func unusable(path string, err error) string {
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		return path + " " + files.Reason(err)
	}
	first := problems[0]
	if first.File != path && !filepath.IsAbs(first.File) {
		first.File = filepath.Join(filepath.Dir(path), first.File)
	}
	return first.String()
}

// ruleset loads a manifest. The error is config.Problems if it, or a file that it names, has any.
func (l *loader) ruleset(ctx context.Context, path string) (*ruleset, error) {
	if r := l.known[path]; r != nil {
		return r, nil
	}
	r, err := newRuleset(ctx, path, l.registry)
	if err == nil {
		l.known[path] = r
	}
	return r, err
}
