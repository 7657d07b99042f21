// Package load turns files, environment and flags into a set: a checked manifest with its rules and tokens.
package load

import (
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
)

// Options configure Load and Read.
type Options struct {
	// Flags that were given override everything else: --listen, --name, --log-level, --log-format, --admin-listen. They
	// survive reloads, because every load gets them. Flags missing from the set are ignored.
	Flags *pflag.FlagSet
	// Env looks up ${VAR} in the files; nil is the environment. EASYMICRO_* is always taken from the environment.
	Env func(name string) (string, bool)
	// Reload reports that a good set is running: the fallback is not tried.
	Reload bool
	// Manifest replaces the content of the manifest, for hosts that have none on disk. The path then only names it, and
	// its directory is where relative paths start.
	Manifest []byte
	// At, if set, is called with each path before it is touched, so that a caller can name the file that does not answer.
	At func(path string)
	// RetryAfter is how long to wait before a set with errors is read a second time, for editors that write in place;
	// zero reads once.
	RetryAfter time.Duration
	// Seen is a reading of the same path with the same options. Load builds the set from it, which it can be used for once,
	// instead of reading the files a first time.
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

// lookup is Env, and remembers the names.
func (o Options) lookup(name string) (string, bool) {
	o.used[name] = true
	return o.Env(name)
}

// Load reads the manifest at path and all that belongs to it. The error is an *Error when the files, flags or variables
// are wrong; any other error means that the manifest cannot be read at all.
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

// Error reports what is wrong with a set. It unwraps to config.Problems, warnings included.
type Error struct {
	Problems config.Problems
	Hash     string // of the content, as Reading.Hash returns it
}

// Error returns the problems, one a line.
func (e *Error) Error() string { return e.Problems.Error() }

// Unwrap returns the problems.
func (e *Error) Unwrap() error { return e.Problems }

// Dirs returns the directories to watch for changes of the set: those of every file and pattern, and of the targets of
// links on the way to them. For a directory that does not exist it is the nearest existing parent.
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
	var sorted []string
	for dir := range d {
		sorted = append(sorted, dir)
	}
	slices.Sort(sorted)
	return sorted
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
