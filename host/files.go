package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/config/watch"
)

// retryInvalidAfter is the time after which a set with errors is read again before it is rejected: some editors write in
// place.
const retryInvalidAfter = 250 * time.Millisecond

// Files is the Source of a manifest on disk and all that belongs to it.
type Files struct {
	path string
	o    load.Options
	gate *files.Gate

	mu      sync.Mutex
	last    *config.Set
	loads   int             // counts loads, so that Hash keeps nothing that is older than last
	read    *load.Reading   // what Hash read last if it differs from last; the next load uses or drops it
	dirs    []string        // the last answer of Dirs
	mounted config.Problems // the last answer of Mounted
}

// LoadFiles reads the set of the manifest at path, to Open a host with, and returns it with the Source that follows it.
// If the files are wrong and policies.onBadStart is lastGood, it returns the last good set; without one, the error is
// config.Problems.
func LoadFiles(path string, o load.Options) (*config.Set, *Files, error) {
	f := &Files{path: path, o: o, gate: new(files.Gate)}
	set, err := f.load(context.Background(), nil)
	if good := lastGood(f, filepath.Dir(path), set, err); good != nil {
		set, err = good, nil
	}
	if err != nil {
		return nil, nil, err
	}
	f.o.Reload, f.o.RetryAfter = true, retryInvalidAfter
	f.last = set
	return set, f, nil
}

// load reads the set, unless it was read before, as long as the files answer.
func (f *Files) load(ctx context.Context, read *load.Reading) (*config.Set, error) {
	return files.Through(ctx, f.gate, func(at func(string)) (*config.Set, error) {
		o := f.o
		o.At, o.Seen = at, read
		set, err := load.Load(f.path, o)
		if err == nil {
			set.Warnings = append(set.Warnings, mounted(set, at)...)
		}
		return set, err
	})
}

// LoadKept makes a set of texts that were kept, by path as shown. Keys, passwords and certificates are read anew.
func (f *Files) LoadKept(texts map[string][]byte) (*config.Set, error) {
	return files.Through(context.Background(), f.gate, func(at func(string)) (*config.Set, error) {
		o := f.o
		o.At, o.Kept, o.Reload, o.RetryAfter = at, texts, true, 0
		return load.Load(f.path, o)
	})
}

// Load reads the set again.
func (f *Files) Load(ctx context.Context) (*config.Set, error) { return f.loadAndRemember(ctx, nil) }

// Peek implements peeker.
func (f *Files) Peek(ctx context.Context) (*config.Set, error) { return f.load(ctx, nil) }

// LoadHashed implements hashLoader.
func (f *Files) LoadHashed(ctx context.Context, hash string) (*config.Set, error) {
	f.mu.Lock()
	read := f.read
	f.read = nil
	f.mu.Unlock()
	if read != nil && read.Hash() != hash {
		read = nil
	}
	return f.loadAndRemember(ctx, read)
}

func (f *Files) loadAndRemember(ctx context.Context, read *load.Reading) (*config.Set, error) {
	set, err := f.load(ctx, read)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.read = nil
	f.loads++
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("manifest %s not found: restore it, or stop the host", f.path)
	}
	if err != nil {
		return nil, err
	}
	f.last = set
	return set, nil
}

// Hash reads the files and returns the hash of their content. It keeps what it read for the edit that follows from it.
func (f *Files) Hash() (string, error) {
	f.mu.Lock()
	loads := f.loads
	f.mu.Unlock()
	read, err := files.Through(context.Background(), f.gate, func(at func(string)) (*load.Reading, error) {
		o := f.o
		o.At = at
		return load.Read(f.path, o)
	})
	if err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.read = nil; read.Hash() != f.last.Hash && loads == f.loads {
		f.read = read
	}
	return read.Hash(), nil
}

// Dirs returns the folders of the set that was read last, and its last answer while the files do not answer.
func (f *Files) Dirs() []string {
	return ask(f, &f.dirs, func(set *config.Set, at func(string)) []string {
		at(set.Dir)
		return load.Dirs(set)
	})
}

// Mounted returns warnings about files of the set that changes do not reach, because of how they are mounted at the moment,
// and its last answer while the files do not answer.
func (f *Files) Mounted() config.Problems {
	return ask(f, &f.mounted, mounted)
}

// ask calls about with the set that was read last, and keeps the answer in last. While the files do not answer, it returns
// last.
func ask[T any](f *Files, last *T, about func(set *config.Set, at func(string)) T) T {
	f.mu.Lock()
	set, before := f.last, *last
	f.mu.Unlock()
	answer, err := files.Through(context.Background(), f.gate, func(at func(string)) (T, error) { return about(set, at), nil })
	if err != nil {
		return before
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	*last = answer
	return answer
}

func mounted(set *config.Set, at func(string)) config.Problems {
	named := make(map[string]string) // as the manifest has them, by the path to open
	for _, f := range set.Files {
		named[set.Path(f.Path)] = f.Path
	}
	for _, f := range set.Manifest.NamedFiles() {
		named[set.Path(f.Path)] = f.Path
	}
	for i := range set.Manifest.Upstreams {
		if path := set.Manifest.Upstreams[i].Resolve.File; path != "" {
			named[set.Path(path)] = path
		}
	}
	at(set.Dir)
	why := watch.Mounted(slices.Collect(maps.Keys(named)))
	var warnings config.Problems
	for path, reason := range why {
		warnings = append(warnings, config.Problem{File: named[path], Message: reason, Warning: true})
	}
	return warnings.Sort()
}
