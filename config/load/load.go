// Package load turns files, environment and flags into a set: a checked manifest with its rules and tokens.
package load

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/config/lint"
)

// Load reads the manifest at path and everything that belongs to it. The error is an *Error if files, flags or
// variables are wrong; any other error means that the manifest cannot be read at all.
func Load(path string, o Options) (*config.Set, error) {
	set, hash, err := load(path, o)
	if err == nil || o.RetryAfter <= 0 {
		return set, err
	}
	time.Sleep(o.RetryAfter)
	o.Seen = nil
	again, secondHash, secondErr := load(path, o)
	if secondErr != nil && secondHash == hash {
		return nil, err
	}
	return again, secondErr
}

func load(path string, o Options) (set *config.Set, hash string, err error) {
	r := o.Seen
	if r == nil {
		if r, err = Read(path, o); err != nil {
			return nil, "", err
		}
	}
	set, err = builder{r}.set()
	return set, r.hash, err
}

// Error holds the problems of a set. It unwraps to config.Problems, warnings included.
type Error struct {
	Problems config.Problems
	Hash     string            // of the content, as Reading.Hash returns it
	Manifest *config.Manifest  // as far as it can be decoded, to find a replacement; nil if it cannot be read
	Files    []config.File     // that the set would have had
	Texts    map[string][]byte // contents of the files by path as shown, if all can be read
}

// Error returns the problems, one a line.
func (e *Error) Error() string { return e.Problems.Error() }

// Unwrap returns the problems.
func (e *Error) Unwrap() error { return e.Problems }

// Dirs returns the directories to watch for changes of the set: those of all files and patterns, and of the targets
// of links on the way to them, such as ..data in a Kubernetes volume. A missing directory is replaced by its nearest
// existing parent.
func Dirs(set *config.Set) []string {
	d := directories{}
	for _, f := range set.Files {
		d.addFile(set.Path(f.Path))
	}
	for _, pattern := range set.Manifest.Policies.Files {
		e := expand(set.Dir, pattern)
		for _, dir := range e.dirs {
			d.add(dir)
		}
		for _, f := range e.files {
			d.addFile(f)
		}
		for _, t := range e.trouble {
			d.addFile(t.path)
		}
	}
	if t := set.Manifest.Auth.Tokens; t != nil {
		d.addFile(set.Path(t.File))
	}
	for _, f := range set.Manifest.NamedFiles() {
		d.addFile(set.Path(f.Path))
	}
	for i := range set.Manifest.Upstreams {
		if path := set.Manifest.Upstreams[i].Resolve.File; path != "" {
			d.addFile(set.Path(path))
		}
	}
	return slices.Sorted(maps.Keys(d))
}

// directories is a set of paths.
type directories map[string]bool

// addFile adds the directories of a file and of all links on the way to it.
func (d directories) addFile(path string) {
	for _, link := range files.Links(path) {
		d.add(filepath.Dir(link))
	}
}

// add adds a directory or its nearest existing parent, and the target if that is a link.
func (d directories) add(dir string) {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			return
		}
		dir = up
	}
	d[dir] = true
	if target, err := filepath.EvalSymlinks(dir); err == nil {
		d[target] = true
	}
}

// builder builds the set of a reading.
type builder struct{ *Reading }

// set returns the set, or the one with the fallback files if that is allowed.
func (b builder) set() (*config.Set, error) {
	set, problems := b.build(b.policies)
	ofFiles := b.fileProblems(b.matched, b.policies)
	problems = problems.With(ofFiles)
	if problems.Err() == nil {
		problems = append(problems, b.fallbackWarnings()...)
		if !b.o.Reload || len(b.decoded.Policies.Fallback) == 0 { // else an unread fallback may use the variables
			problems = append(problems, Unknown(b.o.used)...)
		}
		if 100*b.total >= nearPercent*MaxSetBytes {
			problems = append(problems, problemAt(lint.NearBound, b.decoded, "policies.files", fmt.Sprintf(
				"the files of the set have %d bytes, %d %% of the %d MiB that are allowed", b.total, 100*b.total/MaxSetBytes, MaxSetBytes>>20)))
		}
		set.Warnings = problems.Warnings().Sort()
		return set, nil
	}
	if fallback := b.fallback(&problems, ofFiles); fallback != nil {
		return fallback, nil
	}
	failed := &Error{Problems: problems, Hash: b.hash, Manifest: b.salvaged(), Files: b.desired()}
	if set != nil {
		failed.Texts = set.TextsByPath()
	}
	return nil, failed
}

// salvaged returns the manifest as far as it was decoded or, if it lacks host.state because of a syntax error, what is above the
// error.
func (b builder) salvaged() *config.Manifest {
	if b.decoded == nil || b.decoded.Host.State != nil {
		return b.decoded
	}
	for _, p := range b.problems.Errors() {
		lines := bytes.SplitAfter(b.manifest.data, []byte("\n"))
		above := bytes.Join(lines[:min(max(p.Line-1, 0), len(lines))], nil)
		if m, _ := config.DecodeManifest(b.manifest.display, above, b.o.lookup); m.Host.State != nil {
			return m
		}
	}
	return b.decoded
}

// desired returns the manifest and the policy files.
func (b builder) desired() []config.File {
	list := []config.File{b.manifest.shown()}
	for i := range b.policies {
		list = append(list, b.policies[i].shown())
	}
	return list
}

// build decodes and checks the set with these policy files.
func (b builder) build(policies []file) (*config.Set, config.Problems) {
	problems := slices.Clone(b.problems)
	if b.decoded == nil {
		return nil, problems.Sort()
	}
	set := &config.Set{Manifest: b.decoded, Dir: b.dir, Hash: b.hash, Env: b.o.Env, Texts: make(map[string][]byte)}
	problems = append(problems, override(set.Manifest, b.o.Flags)...)
	b.manifest.addShown(set)
	set.Rules = append(set.Rules, set.Manifest.Policies.Rules...)
	for _, f := range policies {
		f.addShown(set)
		if f.problem != nil {
			continue
		}
		rules, found := config.DecodeRules(f.display, f.data, b.o.lookup)
		set.Rules, problems = append(set.Rules, rules...), append(problems, found...)
	}
	if t := b.tokens; t != nil && t.problem != nil {
		problems = append(problems, t.wrong(b.decoded))
	} else if t != nil {
		t.addShown(set)
		tokens, found := config.DecodeTokens(t.display, t.data, b.o.lookup)
		set.Tokens, problems = tokens, append(problems, found...)
	}
	problems = append(append(problems, b.contents(set)...), b.endpoints...)
	if t := set.Manifest.Admin.Tokens; t != nil && set.Contents[t.File] != nil {
		tokens, found := config.DecodeAdminTokens(t.File, set.Contents[t.File], b.o.lookup)
		set.Operators, problems = tokens, append(problems, found...)
	}
	err := set.Check(problems)
	return set, err
}

// contents adds the named files to the set. A file that cannot be read is a problem of the field that names it.
// Status does not show these files: the hash of a short password reveals the password.
func (b builder) contents(set *config.Set) config.Problems {
	var problems config.Problems
	set.Contents = make(config.Contents, len(b.named))
	for i := range b.named {
		f := &b.named[i]
		if f.problem != nil {
			problems = append(problems, problemAt(lint.Unreadable, b.decoded, f.Field, f.Path+" "+f.problem.Message))
			continue
		}
		set.Contents[f.Path] = f.data
	}
	return problems
}

// fileProblems returns the problems of policy files that cannot be found or read.
func (b builder) fileProblems(m *matches, policies []file) config.Problems {
	if b.decoded == nil {
		return nil
	}
	problems := append(m.troubles(), m.unread()...)
	if !b.decoded.Policies.AllowEmpty {
		for _, p := range m.missing() {
			p.Message += "; policies.allowEmpty: true allows that"
			problems = append(problems, p)
		}
	}
	for i := range policies {
		if policies[i].problem != nil {
			problems = append(problems, policies[i].wrong(b.decoded))
		}
	}
	return problems
}

// fallback returns the set with the fallback files if the manifest is valid and its policy files are not. It adds
// the problems of the fallback to problems; ofFiles are the problems of policy files among them.
func (b builder) fallback(problems *config.Problems, ofFiles config.Problems) *config.Set {
	if b.o.Reload || b.decoded == nil || len(b.decoded.Policies.Fallback) == 0 {
		return nil
	}
	for _, p := range problems.Errors() {
		if p.File == b.manifest.display && !slices.Contains(ofFiles, p) {
			return nil
		}
	}
	set, found := b.withFallback()
	if set == nil {
		*problems = problems.With(found)
		return nil
	}
	set.Fallback, set.Rejected, set.Desired, set.Replaces = "fallback", *problems, b.desired(), b.hash
	p := problemAt(lint.StandIn, b.decoded, "policies.fallback", "in use because of invalid files: fix "+strings.Join(problems.Errors().Files(), ", "))
	set.Warnings = append(append(set.Warnings, p), found...)
	return set
}

// withFallback returns the set with the fallback files and warnings about them, or nil and their problems.
func (b builder) withFallback() (*config.Set, config.Problems) {
	r := reader{dir: b.dir, at: b.at}
	m := r.match(b.decoded, "policies.fallback", b.decoded.Policies.Fallback)
	policies := r.readAll(m)
	set, problems := b.build(policies)
	problems = problems.With(b.fileProblems(m, policies))
	if len(policies) == 0 && problems.Err() == nil {
		problems = m.missing()
	}
	if err := problems.Errors(); len(err) > 0 {
		return nil, append(err, m.unread()...)
	}
	return set, m.unread()
}

// fallbackWarnings warns at start, and not on edits, of a fallback that could not be used in full.
func (b builder) fallbackWarnings() config.Problems {
	if b.o.Reload || len(b.decoded.Policies.Fallback) == 0 {
		return nil
	}
	_, found := b.withFallback()
	warnings := found.Warnings()
	if wrong := found.Errors(); len(wrong) > 0 {
		p := problemAt(lint.StandIn, b.decoded, "policies.fallback", "could not be used: "+wrong[0].String())
		if more := len(wrong) - 1; more > 0 {
			p.Message += fmt.Sprintf(" (and %d more)", more)
		}
		warnings = append(warnings, p)
	}
	return warnings
}
