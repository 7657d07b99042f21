package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
)

// halfWritten is how long a set with errors is given before it is believed: some editors write in place.
const halfWritten = 250 * time.Millisecond

// Files is the Source of a manifest on disk and all that belongs to it.
type Files struct {
	path string
	o    load.Options

	mu   sync.Mutex
	last *config.Set
}

// LoadFiles reads the set of the manifest at path, to Open a host with, and returns it with the Source that follows it.
// The error is config.Problems when the files are wrong.
func LoadFiles(path string, o load.Options) (*config.Set, *Files, error) {
	set, err := load.Load(path, o)
	if err != nil {
		return nil, nil, err
	}
	o.Reload, o.RetryAfter = true, halfWritten
	return set, &Files{path: path, o: o, last: set}, nil
}

// Load reads the set again.
func (f *Files) Load(context.Context) (*config.Set, error) {
	set, err := load.Load(f.path, f.o)
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
func (f *Files) Hash() (string, error) { return load.HashWith(f.path, f.o.Manifest) }

// Dirs are the folders of the set that was read last.
func (f *Files) Dirs() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return load.Dirs(f.last)
}
