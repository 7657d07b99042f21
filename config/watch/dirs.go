package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/fsnotify/fsnotify"
)

// dirs watches directories. Files are never watched: such a watch ends with the first save by rename, and misses
// changes of links.
type dirs struct {
	open     func() (*fsnotify.Watcher, error)
	fs       *fsnotify.Watcher // nil if there is none
	watched  map[string]os.FileInfo
	noEvents string   // reason for the lack of a watcher
	missing  []string // problems of single directories
}

func newDirs() *dirs {
	return &dirs{open: fsnotify.NewWatcher, watched: make(map[string]os.FileInfo)}
}

// events returns nil, which blocks forever, without a watcher.
func (d *dirs) events() <-chan fsnotify.Event {
	if d.fs == nil {
		return nil
	}
	return d.fs.Events
}

func (d *dirs) errors() <-chan error {
	if d.fs == nil {
		return nil
	}
	return d.fs.Errors
}

// lose drops the watcher: after an overflow or an error it may have missed events. reopen creates a new one.
func (d *dirs) lose(err error) {
	d.close()
	d.noEvents = fmt.Sprintf("file events: %v", err)
}

func (d *dirs) close() {
	if d.fs != nil {
		_ = d.fs.Close() // fails only if already closed
	}
	d.fs = nil
	clear(d.watched)
}

// problem returns why events may be missing, or "".
func (d *dirs) problem() string {
	if d.noEvents != "" {
		return d.noEvents
	}
	if len(d.missing) > 0 {
		return d.missing[0]
	}
	return ""
}

// reopen creates a watcher if there is none.
func (d *dirs) reopen() {
	if d.fs != nil {
		return
	}
	fs, err := d.open()
	if err != nil {
		d.noEvents = fmt.Sprintf("file events: %v", err)
		return
	}
	d.fs, d.noEvents = fs, ""
}

// follow watches exactly these directories. changed reports whether one was not watched before, or vanished
// meanwhile: its last event is lost.
func (d *dirs) follow(paths []string) (changed bool) {
	if d.fs == nil {
		return false
	}
	d.missing = nil
	want := make(map[string]bool)
	for _, p := range paths {
		for _, near := range surroundings(p) {
			want[near] = true
		}
		if _, err := os.Stat(p); err != nil {
			d.missing = append(d.missing, fmt.Sprintf("directory %s: %v", p, reason(err)))
		}
	}
	alive := d.fs.WatchList() // a directory that was removed or moved is no longer on it
	for p := range d.watched {
		if !want[p] || !slices.Contains(alive, p) {
			d.forget(p)
		}
	}
	for p := range want {
		changed = d.watch(p) || changed
	}
	return changed
}

// watch watches the directory at path, which may not be the one that was there before.
func (d *dirs) watch(path string) (changed bool) {
	info, err := os.Stat(path)
	if err != nil {
		return d.forget(path)
	}
	if before, ok := d.watched[path]; ok {
		if os.SameFile(before, info) {
			return false
		}
		d.forget(path)
	}
	for _, other := range d.watched {
		if os.SameFile(other, info) { // fsnotify confuses two paths to one directory
			return false
		}
	}
	if err := d.fs.Add(path); err != nil {
		d.missing = append(d.missing, fmt.Sprintf("directory %s: %v", path, reason(err)))
		return false
	}
	d.watched[path] = info
	return true
}

func (d *dirs) forget(path string) (was bool) {
	if _, was = d.watched[path]; was {
		_ = d.fs.Remove(path) // may be gone already
		delete(d.watched, path)
	}
	return was
}

// surroundings returns the directories to watch for a directory: itself or, if it is gone meanwhile, its nearest existing parent,
// and those that hold a link on the way to it.
func surroundings(path string) []string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return []string{path}
	}
	var near []string
	for p, below := abs, true; ; p = filepath.Dir(p) {
		info, err := os.Lstat(p)
		if below && err == nil {
			if s, err := os.Stat(p); err == nil && s.IsDir() {
				near, below = append(near, p), false
			}
		}
		if err == nil && info.Mode()&os.ModeSymlink != 0 {
			near = append(near, filepath.Dir(p))
		}
		if p == filepath.Dir(p) {
			return near
		}
	}
}

// reason returns err without the path.
func reason(err error) error {
	if pe, ok := err.(*os.PathError); ok { //nolint:errorlint // os.Stat and fsnotify return it bare
		return pe.Err
	}
	return err
}
