package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config/files"
)

const (
	// Tries is how many times a set is started while the process dies under it.
	Tries = 2

	deathsKept   = 16
	deathsWithin = time.Hour // of each other, to count together
	maxReport    = 1 << 20
)

// Phases of a process.
const (
	phaseStarting = "starting" // not ready yet: any end but an orderly one is a death
	phaseReady    = "ready"    // only a crash report is a death: others may kill the process for any reason
)

// Death is an end of the process that counts against the set that it ran.
type Death struct {
	Hash    string    `json:"hash"`    // of the set
	Program string    `json:"program"` // that ran it: another build may not die
	At      time.Time `json:"at"`
	Why     string    `json:"why"`
	Crash   bool      `json:"crash,omitempty"` // the process left a crash report
}

// bootRecord is the content of a boot file.
type bootRecord struct {
	Phase   string    `json:"phase,omitempty"` // empty after an orderly end
	Hash    string    `json:"hash,omitempty"`  // of the set that is tried, or runs
	Program string    `json:"program,omitempty"`
	Try     int       `json:"try,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	Deaths  []Death   `json:"deaths,omitempty"` // the oldest first
}

// Boot counts the deaths of the process under each set. It may be shared.
type Boot struct {
	path    string
	program string

	mu     sync.Mutex
	record bootRecord
}

func newBoot(path string) *Boot { return &Boot{path: path, program: program()} }

// program identifies the executable of the process.
func program() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d bytes of %s", info.Size(), info.ModTime().UTC().Format(time.RFC3339))
}

// load reads the file. A missing one is empty.
func (b *Boot) load() error {
	var r bootRecord
	if err := readSealed(b.path, &r); err != nil {
		if _, statErr := os.Lstat(b.path); errors.Is(statErr, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	b.record = r
	return nil
}

// Settle counts the end of the previous process if it was a death, and returns it; nil if it was none. It keeps the crash report
// under another name.
func (b *Boot) Settle(now time.Time) (*Death, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	report := b.crashReport()
	if _, err := os.Stat(b.CrashFile()); err == nil && report != "" {
		if err := os.Rename(b.CrashFile(), b.lastCrash()); err != nil {
			return nil, err
		}
	}
	r := &b.record
	if r.Hash == "" || report == "" && r.Phase != phaseStarting {
		return nil, nil //nolint:nilnil // no death and no error
	}
	d := Death{Hash: r.Hash, Program: r.Program, At: now, Why: "the process ended before it was ready", Crash: report != ""}
	if d.Crash {
		d.Why = "the process crashed: " + report + " (" + b.lastCrash() + ")"
	}
	if len(b.condemned(d.Hash, d.Program)) == 0 {
		r.Deaths = slices.DeleteFunc(r.Deaths, func(o Death) bool { return o.Hash == d.Hash && now.Sub(o.At) > deathsWithin })
	}
	r.Deaths = append(r.Deaths, d)
	r.Deaths = slices.Delete(r.Deaths, 0, max(0, len(r.Deaths)-deathsKept))
	r.Phase = ""
	return &d, b.save()
}

// outside matches the reports that the runtime writes for signals that others send to make a process dump its goroutines.
var outside = regexp.MustCompile(`^SIG(QUIT|ABRT|TRAP): `)

// crashReport returns the first line of the report that the previous process has left; empty if none.
func (b *Boot) crashReport() string {
	text, err := files.Read(b.CrashFile(), maxReport)
	if large := new(files.TooLargeError); errors.As(err, &large) {
		return "with a long report"
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if outside.MatchString(first) {
		return ""
	}
	return first
}

// CrashFile returns the path of the file that the runtime is to write its crash report to.
func (b *Boot) CrashFile() string { return filepath.Join(filepath.Dir(b.path), crashFile) }

func (b *Boot) lastCrash() string { return filepath.Join(filepath.Dir(b.path), lastCrashFile) }

// Condemned returns the deaths under a set if there are so many that it must not be started again, and nil otherwise.
func (b *Boot) Condemned(hash string) []Death {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.condemned(hash, b.program)
}

func (b *Boot) condemned(hash, program string) []Death {
	if list := b.deaths(hash, program); len(list) >= Tries {
		return list
	}
	return nil
}

func (b *Boot) deaths(hash, program string) []Death {
	var list []Death
	for _, d := range b.record.Deaths {
		if d.Hash == hash && d.Program == program {
			list = append(list, d)
		}
	}
	return list
}

// Try records that a set is about to be started, and returns which try it is.
func (b *Boot) Try(hash string, now time.Time) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &b.record
	r.Phase, r.Hash, r.Program, r.Since = phaseStarting, hash, b.program, now
	r.Try = len(b.deaths(hash, b.program)) + 1
	return r.Try, b.save()
}

// Ready records that the process is ready with the set of a hash.
func (b *Boot) Ready(hash string, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &b.record
	r.Phase, r.Hash, r.Program, r.Since = phaseReady, hash, b.program, now
	return b.save()
}

// Survived records that the process was ready with a set for a while, so that its earlier ends before it was ready no longer
// count. Crashes still count: a set may crash the process later.
func (b *Boot) Survived(hash string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &b.record
	before := len(r.Deaths)
	r.Deaths = slices.DeleteFunc(r.Deaths, func(d Death) bool { return d.Hash == hash && !d.Crash })
	if r.Try == 0 && before == len(r.Deaths) {
		return nil
	}
	r.Try = 0
	return b.save()
}

// Forget drops the deaths under a set that an operator wants to run nevertheless.
func (b *Boot) Forget(hash string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := len(b.record.Deaths)
	b.record.Deaths = slices.DeleteFunc(b.record.Deaths, func(d Death) bool { return d.Hash == hash })
	if before == len(b.record.Deaths) {
		return nil
	}
	return b.save()
}

// End records that the process ends in order, with or without an error.
func (b *Boot) End() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.record.Phase, b.record.Try = "", 0
	return b.save()
}

func (b *Boot) save() error { return writeSealed(b.path, &b.record) }
