package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/config/watch"
)

// halfWritten is how long a set with errors is given before it is believed: some editors write in place.
const halfWritten = 250 * time.Millisecond

// Files is the Source of a manifest on disk and all that belongs to it.
type Files struct {
	path string
	o    load.Options
	gate *files.Gate

	mu      sync.Mutex
	last    *config.Set
	dirs    []string        // of last
	mounted config.Problems // the same
}

// LoadFiles reads the set of the manifest at path, to Open a host with, and returns it with the Source that follows it.
// The error is config.Problems when the files are wrong.
func LoadFiles(path string, o load.Options) (*config.Set, *Files, error) {
	f := &Files{path: path, o: o, gate: new(files.Gate)}
	set, err := f.load(context.Background())
	if err != nil {
		return nil, nil, err
	}
	f.o.Reload, f.o.RetryAfter = true, halfWritten
	f.last = set
	return set, f, nil
}

// load reads the set, as long as the files answer.
func (f *Files) load(ctx context.Context) (*config.Set, error) {
	return files.Through(ctx, f.gate, func(at func(string)) (*config.Set, error) {
		o := f.o
		o.At = at
		set, err := load.Load(f.path, o)
		if err == nil {
			set.Warnings = append(set.Warnings, mounted(set, at)...)
		}
		return set, err
	})
}

// Load reads the set again.
func (f *Files) Load(ctx context.Context) (*config.Set, error) {
	set, err := f.load(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the manifest %s is gone: put it back, or stop the host", f.path)
	}
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = set
	return set, nil
}

// Hash is the hash of what the files have now.
func (f *Files) Hash() (string, error) {
	return files.Through(context.Background(), f.gate, func(at func(string)) (string, error) {
		o := f.o
		o.At = at
		return load.HashWith(f.path, o)
	})
}

// Dirs returns the folders of the set that was read last, and its last answer while the files do not answer.
func (f *Files) Dirs() []string {
	f.mu.Lock()
	set, before := f.last, f.dirs
	f.mu.Unlock()
	dirs, err := files.Through(context.Background(), f.gate, func(at func(string)) ([]string, error) {
		at(set.Dir)
		return load.Dirs(set), nil
	})
	if err != nil {
		return before
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirs = dirs
	return dirs
}

// Mounted returns warnings about files of the set that changes do not reach, because of how they are mounted at the moment,
// and its last answer while the files do not answer.
func (f *Files) Mounted() config.Problems {
	f.mu.Lock()
	set, before := f.last, f.mounted
	f.mu.Unlock()
	warnings, err := files.Through(context.Background(), f.gate, func(at func(string)) (config.Problems, error) {
		return mounted(set, at), nil
	})
	if err != nil {
		return before
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mounted = warnings
	return warnings
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
