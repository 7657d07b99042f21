// Package state keeps on disk what a host has to know after a restart: its history with the texts of its files, the sets that
// proved good, and the deaths of its process.
//
// Every file is written by rename, and carries a checksum or is named by its hash, so that a damaged file loses no more than
// itself.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

// Names in a state directory.
const (
	lockFile      = "lock"
	bootFile      = "boot.json"
	overridesFile = "overrides.json"
	auditFile     = "audit.jsonl"
	auditBefore   = "audit.1.jsonl"
	crashFile     = "crash.txt"
	lastCrashFile = "crash.last.txt"
	revisionsDir  = "revisions"
	textsDir      = "texts"
	goodDir       = "good"
	jsonSuffix    = ".json"
)

// Store is a state directory. It may be shared.
type Store struct {
	Boot  *Boot
	Audit *Audit

	dir  string
	lock *os.File // nil if it was opened to read

	mu       sync.Mutex
	texts    texts
	kept     []entry // the oldest first
	good     []Good  // the newest first
	next     int     // sequence number of the next attempt
	number   int     // the highest revision
	warnings []string
}

// entry is an attempt on disk.
type entry struct {
	seq, number int
	applied     bool
	rejected    bool
	hashes      []string // of its texts
}

// Open creates the directory if there is none, locks it for this process, and reads it. owner describes this process to
// others.
func Open(dir, owner string) (*Store, error) {
	for _, d := range []string{dir, filepath.Join(dir, revisionsDir), filepath.Join(dir, textsDir), filepath.Join(dir, goodDir)} {
		if err := os.MkdirAll(d, dirPermission); err != nil {
			return nil, err
		}
	}
	lock, err := lockDir(dir, owner)
	if err != nil {
		return nil, err
	}
	for _, d := range []string{dir, filepath.Join(dir, revisionsDir), filepath.Join(dir, textsDir), filepath.Join(dir, goodDir)} {
		removeTemps(d)
	}
	s := Read(dir)
	s.lock = lock
	return s, nil
}

// Adopt reads a directory whose lock another process has passed to this one. Nothing may be added until that process no longer
// writes, and Own was called.
func Adopt(dir string, lock *os.File) *Store {
	s := Read(dir)
	s.lock = lock
	return s
}

// Own describes this process to others, as Open does.
func (s *Store) Own(owner string) error { return sign(s.lock, owner) }

// Lock returns the locked file, to pass it to another process; nil if there is none.
func (s *Store) Lock() *os.File { return s.lock }

// Read reads a directory without locking it: another process may be using it. Nothing may be added to the Store.
func Read(dir string) *Store {
	s := &Store{
		dir: dir, next: 1, texts: texts{dir: filepath.Join(dir, textsDir), kept: map[string]bool{}},
		Boot: newBoot(filepath.Join(dir, bootFile)), Audit: &Audit{path: filepath.Join(dir, auditFile)},
	}
	if err := s.Boot.load(); err != nil {
		s.warn(err, "the deaths of the process before are forgotten")
	}
	s.readGood()
	return s
}

func (s *Store) warn(err error, effect string) {
	s.warnings = append(s.warnings, fmt.Sprintf("%s: %v: %s", s.dir, err, effect))
}

// Warnings returns what could not be read so far.
func (s *Store) Warnings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.warnings)
}

// numbered returns the files of a folder with their sequence and revision numbers: 00000012-r7.json.
func (s *Store) numbered(folder string) []entry {
	files, err := os.ReadDir(filepath.Join(s.dir, folder))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.warn(err, "it is taken as empty")
	}
	var list []entry
	for _, f := range files {
		seq, number, ok := strings.Cut(strings.TrimSuffix(f.Name(), jsonSuffix), "-r")
		e := entry{}
		var err error
		if e.seq, err = strconv.Atoi(seq); err != nil || !ok {
			continue
		}
		if e.number, err = strconv.Atoi(number); err != nil || f.Name() != e.name() {
			continue
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b entry) int { return a.seq - b.seq })
	return list
}

func (e entry) name() string { return fmt.Sprintf("%08d-r%d%s", e.seq, e.number, jsonSuffix) }

func (s *Store) path(folder string, e entry) string { return filepath.Join(s.dir, folder, e.name()) }

func (s *Store) readGood() {
	for _, e := range slices.Backward(s.numbered(goodDir)) {
		g := Good{seq: e.seq}
		if err := readSealed(s.path(goodDir, e), &g); err != nil {
			s.warn(err, fmt.Sprintf("r%d is no longer known as good", e.number))
			continue
		}
		s.good = append(s.good, g)
	}
}

// History reads the attempts, the oldest first, and removes those beyond the last keep.
func (s *Store) History(keep int) []admin.Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	read := make(map[int]admin.Attempt) // by sequence number
	s.kept = s.numbered(revisionsDir)
	for i := range s.kept {
		e := &s.kept[i]
		s.next, s.number = e.seq+1, max(s.number, e.number)
		var a admin.Attempt
		if err := readSealed(s.path(revisionsDir, *e), &a); err != nil {
			s.warn(err, "it is missing in the history")
			continue
		}
		e.describe(&a)
		read[e.seq] = a
	}
	for i := range s.good {
		s.number = max(s.number, s.good[i].Number)
	}
	s.prune(keep)
	var list []admin.Attempt
	for _, e := range s.kept {
		if a, ok := read[e.seq]; ok {
			list = append(list, a)
		}
	}
	return list[max(0, len(list)-keep):]
}

func (e *entry) describe(a *admin.Attempt) {
	e.applied, e.rejected = a.MadeRevision(), a.Result == admin.ResultRejected
	e.hashes = nil
	for _, f := range a.Files {
		e.hashes = append(e.hashes, f.Hash)
	}
}

// Number returns the highest revision that was ever kept; 0 if none.
func (s *Store) Number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number
}

// Add keeps an attempt and the texts of its files, by hash, and removes attempts beyond the last keep. One that was made several times
// replaces the one before.
func (s *Store) Add(a *admin.Attempt, texts map[string][]byte, keep int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range a.Files {
		text, ok := texts[f.Hash]
		if !ok {
			continue
		}
		if err := s.texts.add(f.Hash, text); err != nil {
			return err
		}
	}
	e := entry{seq: s.next, number: a.Number}
	if err := writeSealed(s.path(revisionsDir, e), a); err != nil {
		return err
	}
	e.describe(a)
	if last := len(s.kept) - 1; a.Times > 1 && last >= 0 && s.kept[last].rejected {
		_ = os.Remove(s.path(revisionsDir, s.kept[last])) // it is in the history twice if that fails
		s.kept = s.kept[:last]
	}
	s.kept = append(s.kept, e)
	s.next, s.number = s.next+1, max(s.number, a.Number)
	s.prune(keep)
	return nil
}

// MaxRejected returns how many rejected attempts a history of some length has at most: however many there are, changes stay.
func MaxRejected(keep int) int { return max(keep/2, 1) }

// prune removes the oldest attempts, but never the running one, and the texts that nothing refers to.
func (s *Store) prune(keep int) {
	running, rejected := -1, -MaxRejected(keep)
	for i := range s.kept {
		if s.kept[i].applied {
			running = s.kept[i].seq
		}
		if s.kept[i].rejected {
			rejected++
		}
	}
	var removed bool
	excess := len(s.kept) - max(rejected, 0) - keep
	s.kept = slices.DeleteFunc(s.kept, func(e entry) bool {
		switch {
		case e.rejected && rejected > 0:
			rejected--
		case excess > 0 && e.seq != running:
			excess--
		default:
			return false
		}
		removed = true
		_ = os.Remove(s.path(revisionsDir, e)) // it is tried again at the next start
		return true
	})
	if removed {
		s.texts.retain(s.used())
	}
}

// used returns the hashes of the texts that are referred to.
func (s *Store) used() map[string]bool {
	used := make(map[string]bool)
	for i := range s.kept {
		for _, hash := range s.kept[i].hashes {
			used[hash] = true
		}
	}
	for i := range s.good {
		for _, f := range s.good[i].Files {
			used[f.Hash] = true
		}
	}
	return used
}

// Amend changes the record of a revision, if it is still in the history and has not been undone.
func (s *Store) Amend(number int, change func(*admin.Attempt)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.kept {
		e := &s.kept[i]
		if e.number != number || !e.applied {
			continue
		}
		var a admin.Attempt
		if err := readSealed(s.path(revisionsDir, *e), &a); err != nil {
			return err
		}
		change(&a)
		e.describe(&a)
		return writeSealed(s.path(revisionsDir, *e), &a)
	}
	return nil
}

// MarkGood records that a revision proved good, with a verdict, and drops the generations that are no longer needed.
func (s *Store) MarkGood(number int, verdict string, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := -1
	for i := range s.kept {
		if s.kept[i].number == number && s.kept[i].applied {
			at = i
		}
	}
	if at < 0 {
		return fmt.Errorf("r%d is not in the history", number)
	}
	g := Good{GoodAt: now, seq: s.kept[at].seq}
	if err := readSealed(s.path(revisionsDir, s.kept[at]), &g.Attempt); err != nil {
		return err
	}
	g.Verdict = verdict
	if err := writeSealed(s.path(revisionsDir, s.kept[at]), &g.Attempt); err != nil {
		return err
	}
	if len(g.Files) == 0 || len(s.good) > 0 && s.good[0].Hash == g.Hash {
		return nil // it cannot be started from, or has been good for longer
	}
	if _, err := s.texts.of(g.Files); err != nil {
		return err
	}
	if err := writeSealed(s.path(goodDir, s.kept[at]), &g); err != nil {
		return err
	}
	before := append([]Good{g}, s.good...)
	s.good = generations(before, now)
	for i := range before {
		if !slices.ContainsFunc(s.good, func(o Good) bool { return o.seq == before[i].seq }) {
			_ = os.Remove(s.path(goodDir, entry{seq: before[i].seq, number: before[i].Number}))
		}
	}
	return nil
}

// Good returns the good sets, the newest first.
func (s *Store) Good() []Good {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.good)
}

// Overrides returns the overrides that were kept; those that have ended may be among them.
func (s *Store) Overrides() (list []admin.Override, err error) {
	path := filepath.Join(s.dir, overridesFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	err = readSealed(path, &list)
	return list, err
}

// SetOverrides keeps the overrides in force.
func (s *Store) SetOverrides(list []admin.Override) error {
	return writeSealed(filepath.Join(s.dir, overridesFile), list)
}

// Texts returns the texts of files by path. The error names one that is lost.
func (s *Store) Texts(list []config.File) (map[string][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.texts.of(list)
}

// Close unlocks the directory.
func (s *Store) Close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}
