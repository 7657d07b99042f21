package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/fsnotify/fsnotify"
)

// dirs keeps the events of directories coming. Files are never watched: a watch on a file is deaf after the first save
// by rename, and never sees a link being turned.
type dirs struct {
	open    func() (*fsnotify.Watcher, error)
	fs      *fsnotify.Watcher // nil without one
	watched map[string]os.FileInfo
	lost    string   // why there is no watcher
	missing []string // what is wrong with single directories
}

func newDirs() *dirs {
	return &dirs{open: fsnotify.NewWatcher, watched: make(map[string]os.FileInfo)}
}

// events is nil, and so blocks for ever, without a watcher.
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

// lose gives the watcher up: after an overflow or an error nobody knows what it has missed. reopen gets a new one.
func (d *dirs) lose(err error) {
	d.close()
	d.lost = fmt.Sprintf("file events: %v", err)
}

func (d *dirs) close() {
	if d.fs != nil {
		_ = d.fs.Close() // it only ever fails by having been closed
	}
	d.fs = nil
	clear(d.watched)
}

// problem is why events may be missing; empty if they are not.
func (d *dirs) problem() string {
	if d.lost != "" {
		return d.lost
	}
	if len(d.missing) > 0 {
		return d.missing[0]
	}
	return ""
}

// reopen gets a watcher when there is none.
func (d *dirs) reopen() {
	if d.fs != nil {
		return
	}
	fs, err := d.open()
	if err != nil {
		d.lost = fmt.Sprintf("file events: %v", err)
		return
	}
	d.fs, d.lost = fs, ""
}

// follow watches these directories and no others. changed reports whether one of them was not watched before, or vanished
// while we looked: its last event is lost with it.
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

// watch watches what the path names now, which is not always what it named before.
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
		if os.SameFile(other, info) { // fsnotify mixes two paths to one directory up
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

// surroundings are the directories to watch for one: itself, or the nearest one above while it is not there, and those
// that hold a link on the way to it.
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

// reason is err without the path that stands in front of it already.
func reason(err error) error {
	if pe, ok := err.(*os.PathError); ok { //nolint:errorlint // os.Stat and fsnotify return it bare
		return pe.Err
	}
	return err
}
