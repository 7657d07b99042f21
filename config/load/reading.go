package load

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/config/lint"
)

// MaxSetBytes is the maximum size of all files of a set together.
const MaxSetBytes = 16 << 20

// nearPercent is the part of it from which on there is a warning.
const nearPercent = 80

// A set that is replaced while it is read, such as a ConfigMap, is read again after a pause.
const (
	readAttempts = 5
	readPause    = 10 * time.Millisecond
)

// Reading holds the files of one set at one moment.
type Reading struct {
	reader
	o        Options
	manifest file
	matched  *matches // by policies.files
	policies []file
	tokens   *file
	named    []namedFile // certificates, keys, passwords

	decoded   *config.Manifest // nil if the manifest cannot be read
	problems  config.Problems  // of the manifest
	endpoints config.Problems  // of the files with endpoints
	moving    bool             // the files were still being replaced at the last attempt
	hash      string
}

// Read reads the manifest at path, decodes it to learn which files it names, and reads those. If a link changes meanwhile it
// starts over, so that no set consists of old and new files; it cannot know whether a file was complete. It returns an error
// only without a manifest; the Reading has all other failures.
func Read(path string, o Options) (*Reading, error) {
	o = o.complete()
	for attempt := 1; ; attempt++ {
		r, err := readOnce(path, o)
		if err != nil {
			return nil, err
		}
		settled := r.settled()
		if !settled && attempt < readAttempts {
			time.Sleep(readPause)
			continue
		}
		if !settled {
			r.moving = true
			r.problems = append(r.problems, config.Problem{
				File: r.manifest.display, Line: 1, Column: 1, Code: lint.Unreadable,
				Message: "the files of this set are replaced faster than they can be read; they are read again once they settle",
			})
		}
		r.hash = r.sum()
		return r, nil
	}
}

func readOnce(path string, o Options) (*Reading, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	r := &Reading{reader: reader{dir: filepath.Dir(path), at: o.At}, o: o}
	switch name := filepath.Base(path); {
	case o.Kept != nil:
		r.manifest = file{display: name, data: o.Kept[name]}
	case o.Manifest != nil:
		r.manifest = file{display: name, data: o.Manifest}
	default:
		r.at(path)
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
		r.manifest = r.read(path, name, config.MaxFileBytes)
	}
	if r.manifest.problem != nil {
		r.problems = config.Problems{*r.manifest.problem}
		return r, nil //nolint:nilerr // the file exists, so what is wrong with it is a problem of the set
	}
	r.decoded, r.problems = config.DecodeManifest(r.manifest.display, r.manifest.data, o.lookup)
	tokens := ""
	if t := r.decoded.Auth.Tokens; t != nil {
		tokens = t.File
	}
	if o.Kept != nil {
		r.takeKept(tokens)
	} else {
		r.readPolicies(tokens)
	}
	for _, f := range r.decoded.NamedFiles() {
		r.named = append(r.named, namedFile{f, r.read(r.abs(f.Path), f.Path, f.Limit)})
	}
	r.readEndpoints()
	return r, nil
}

// readPolicies reads the policy files and the token file; "" is none.
func (r *Reading) readPolicies(tokens string) {
	r.matched = r.match(r.decoded, "policies.files", r.decoded.Policies.Files)
	r.policies = r.readAll(r.matched)
	if tokens != "" {
		f := r.read(r.abs(tokens), tokens, config.MaxFileBytes)
		f.field = "auth.tokens.file"
		r.tokens = &f
	}
}

// takeKept takes the policy files and the token file from the kept texts.
func (r *Reading) takeKept(tokens string) {
	r.matched = r.match(r.decoded, "policies.files", nil)
	for _, name := range slices.Sorted(maps.Keys(r.o.Kept)) {
		f := file{display: name, data: r.o.Kept[name]}
		switch name {
		case r.manifest.display:
		case tokens:
			r.tokens = &f
		default:
			r.policies = append(r.policies, f)
		}
	}
}

// readEndpoints reads the endpoints files as a running host does. They change without an edit, so they are not part
// of the set, but their problems are.
func (r *Reading) readEndpoints() {
	seen := map[string]bool{"": true}
	for i := range r.decoded.Upstreams {
		path := r.decoded.Upstreams[i].Resolve.File
		if seen[path] {
			continue
		}
		seen[path] = true
		field := fmt.Sprintf("upstreams[%d].resolve.file", i)
		r.at(r.abs(path))
		if isAbsent(r.abs(path)) { // it is watched, and may be created later
			r.endpoints = append(r.endpoints, problemAt(lint.NotThereYet, r.decoded, field, path+" does not exist: nothing can be called until it does"))
			continue
		}
		f := r.read(r.abs(path), path, config.MaxFileBytes)
		if f.problem != nil {
			f.field = field
			r.endpoints = append(r.endpoints, f.wrong(r.decoded))
			continue
		}
		_, problems := config.DecodeEndpoints(path, f.data, r.o.lookup)
		r.endpoints = append(r.endpoints, problems...)
	}
}

// settled reports whether links and patterns still lead where they did when the files were read.
func (r *Reading) settled() bool {
	all := r.besides()
	if r.manifest.path != "" {
		all = append(all, r.manifest)
	}
	for _, f := range all {
		if f.path == "" {
			continue // a kept text
		}
		r.at(f.path)
		if now, err := filepath.EvalSymlinks(f.path); (err != nil) != (f.resolved == "") || (err == nil && now != f.resolved) {
			return false
		}
	}
	return r.decoded == nil || r.matched.signature() == r.match(r.decoded, r.matched.field, r.matched.patterns).signature()
}

// besides returns the files of the set besides the manifest.
func (r *Reading) besides() []file {
	all := slices.Clone(r.policies)
	if r.tokens != nil {
		all = append(all, *r.tokens)
	}
	for _, f := range r.named {
		all = append(all, f.file)
	}
	return all
}

// Hash returns the content hash of the set, equal to the Hash of a set that Load makes of the same content. Failures
// count too, so that the hash changes when a file becomes readable.
func (r *Reading) Hash() string { return r.hash }

func (r *Reading) sum() string {
	h := sha256.New()
	r.manifest.addTo(h)
	if r.matched != nil {
		fmt.Fprintf(h, "%s ", r.matched.signature())
	}
	for _, f := range r.besides() {
		f.addTo(h)
	}
	if r.moving {
		fmt.Fprint(h, "moving ") // differs from the same content at rest
	}
	for _, p := range r.endpoints.Errors() { // fixing a file of endpoints is an edit, changing its list is not
		fmt.Fprintf(h, "%q ", p.String())
	}
	return hex.EncodeToString(h.Sum(nil))
}

// reader reads the files of one set under a common size limit.
type reader struct {
	dir   string            // of the manifest
	at    func(path string) // Options.At
	total int64             // bytes read
}

func (r *reader) abs(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(r.dir, path)
}

// read reads one file of at most limit bytes.
func (r *reader) read(path, display string, limit int64) file {
	r.at(path)
	f := file{path: path, display: display}
	wrong := func(format string, args ...any) file {
		f.problem = &config.Problem{File: display, Line: 1, Column: 1, Code: lint.Unreadable, Message: fmt.Sprintf(format, args...)}
		return f
	}
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return wrong("%s", files.Reason(err))
	}
	f.resolved = resolved
	left := MaxSetBytes - r.total
	var large *files.TooLargeError
	switch f.data, err = files.Read(resolved, min(limit, left)); {
	case errors.As(err, &large) && left < limit:
		return wrong("is not read: the set has more than %d MiB", MaxSetBytes>>20)
	case err != nil:
		return wrong("%s", files.Reason(err))
	}
	r.total += int64(len(f.data))
	return f
}

// match expands the patterns of a field of the manifest.
func (r *reader) match(manifest *config.Manifest, field string, patterns []string) *matches {
	m := &matches{dir: r.dir, manifest: manifest, field: field, patterns: patterns, paths: map[string]string{}, named: map[string]string{}}
	for i, pattern := range patterns {
		r.at(r.abs(pattern))
		e := expand(r.dir, pattern)
		m.expansions = append(m.expansions, e)
		for _, path := range e.files {
			display := m.display(pattern, path)
			m.paths[display] = path
			if !isPattern(pattern) {
				m.named[display] = m.at(i)
			}
		}
	}
	return m
}

// readAll reads the files that patterns match, in name order.
func (r *reader) readAll(m *matches) []file {
	var all []file
	for _, display := range m.names() {
		one := r.read(m.paths[display], display, config.MaxFileBytes)
		one.field = m.named[display]
		all = append(all, one)
	}
	return all
}

// file is a file as read, or why it could not be read.
type file struct {
	path     string // to open it
	display  string // as problems show it
	resolved string // without links
	field    string // field of the manifest that names it; empty if a pattern matched it
	data     []byte
	problem  *config.Problem
}

// namedFile is a file of certificates or secrets.
type namedFile struct {
	config.NamedFile
	file
}

// addTo hashes path and content with their lengths, so that no byte can move from one to the other.
func (f *file) addTo(h hash.Hash) {
	problem := ""
	if f.problem != nil {
		problem = f.problem.Message
	}
	fmt.Fprintf(h, "%d %s %d %s %d ", len(f.display), f.display, len(problem), problem, len(f.data))
	h.Write(f.data)
}

// shown returns the file as status shows it.
func (f *file) shown() config.File {
	sum := sha256.Sum256(f.data)
	return config.File{Path: f.display, Hash: hex.EncodeToString(sum[:])}
}

// addShown adds the file to those of a set.
func (f *file) addShown(set *config.Set) {
	one := f.shown()
	set.Files = append(set.Files, one)
	if f.problem == nil {
		set.Texts[one.Hash] = f.data
	}
}

// wrong returns the problem of a file that cannot be read, at the field that names it if one does.
func (f *file) wrong(manifest *config.Manifest) config.Problem {
	if f.field == "" {
		return *f.problem
	}
	return problemAt(lint.Unreadable, manifest, f.field, f.display+" "+f.problem.Message)
}

// isAbsent reports whether a file does not exist, and not because of a dangling link.
func isAbsent(path string) bool {
	if !isGone(path) {
		return false
	}
	for up := filepath.Dir(path); up != path; path, up = up, filepath.Dir(up) {
		if !isGone(up) {
			_, err := os.Stat(up)
			return err == nil
		}
	}
	return true
}

// Options configures Load and Read.
type Options struct {
	// Flags that are set override everything else: --listen, --name, --log-level, --log-format, --admin-listen. Pass them
	// to every load, so that they survive reloads.
	Flags *pflag.FlagSet
	// Env looks up ${VAR} in the files; nil is the environment. EASYMICRO_* is always taken from the environment.
	Env func(name string) (string, bool)
	// Reload reports that a good set is running: the fallback is not tried.
	Reload bool
	// Manifest replaces the content of the manifest, for hosts that have none on disk. The path then only names it, and
	// its directory is where relative paths start.
	Manifest []byte
	// At, if set, is called with each path before it is accessed, so that a caller can name a file that hangs.
	At func(path string)
	// RetryAfter is how long to wait before a set with errors is read a second time, for editors that write in place;
	// zero reads once.
	RetryAfter time.Duration
	// Kept, if set, holds the texts of the manifest, the policy files and the token file of an earlier set, by path as
	// shown. They are used instead of the files.
	Kept map[string][]byte
	// Seen is a reading of the same path with the same options. Load uses it, once, instead of reading the files.
	Seen *Reading

	used map[string]bool // the variables that were looked up
}

func (o Options) complete() Options {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	if o.At == nil {
		o.At = func(string) {}
	}
	o.used = make(map[string]bool)
	return o
}

// lookup calls Env and records the name.
func (o Options) lookup(name string) (string, bool) {
	o.used[name] = true
	return o.Env(name)
}
