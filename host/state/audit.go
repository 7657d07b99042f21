package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/easymicro/easymicro/host/admin"
)

// AuditEntry is one change by a command, by a signal or by autoRollback.
type AuditEntry struct {
	At       time.Time `json:"at"`
	Action   string    `json:"action"` // an admin.Source constant, or confirm, drain, undrain
	Who      string    `json:"who,omitempty"`
	Why      string    `json:"why,omitempty"`
	Revision int       `json:"revision,omitempty"` // in force after it
	Hash     string    `json:"hash,omitempty"`
	Result   string    `json:"result"`
	Error    string    `json:"error,omitempty"`
	Times    int       `json:"times,omitempty"` // how many equal attempts in a row were rejected so far; 0: one
}

// isIdle reports whether the entry is about an attempt that changed nothing: a rejected one, or a reload.
func (e *AuditEntry) isIdle() bool {
	switch e.Result {
	case admin.ResultRejected, admin.ResultHeld:
		return true
	case admin.ResultUnchanged:
		return e.Action == admin.SourceAdmin || e.Action == admin.SourceSignal
	}
	return false
}

const (
	// maxAuditBytes bounds an audit log. Once it is full it replaces the one before, so that two are kept.
	maxAuditBytes = 1 << 20
	// maxIdleBytes bounds the attempts that changed nothing in a full log: a flood of them must not replace the changes.
	maxIdleBytes = maxAuditBytes / 4
)

// Audit is an audit log: one JSON object a line, the oldest first. It may be shared.
type Audit struct {
	mu   sync.Mutex
	path string
}

// Add appends an entry.
func (a *Audit) Add(e AuditEntry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if info, err := os.Stat(a.path); err == nil && info.Size() >= maxAuditBytes {
		if err := a.makeRoom(); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(a.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size > 0 {
		var last [1]byte
		if _, err := f.ReadAt(last[:], size-1); err == nil && last[0] != '\n' {
			line = append([]byte{'\n'}, line...) // a crash has cut the line before
		}
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		return err
	}
	return f.Sync()
}

// makeRoom drops the oldest attempts that changed nothing and, if that is not enough, has the log replace the one before.
func (a *Audit) makeRoom() error {
	data, err := os.ReadFile(a.path)
	if err != nil {
		return err
	}
	var lines [][]byte
	idle, size := 0, 0
	for _, line := range slices.Backward(slices.Collect(bytes.Lines(data))) {
		var e AuditEntry
		if json.Unmarshal(line, &e) == nil && e.isIdle() {
			if idle += len(line); idle > maxIdleBytes {
				continue
			}
		}
		lines = append(lines, line)
		size += len(line)
	}
	if size > maxAuditBytes/2 {
		return os.Rename(a.path, filepath.Join(filepath.Dir(a.path), auditBefore))
	}
	slices.Reverse(lines)
	return write(a.path, bytes.Join(lines, nil))
}

// Entries returns the entries that can be read, the oldest first.
func (a *Audit) Entries() ([]AuditEntry, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []AuditEntry
	for _, path := range []string{filepath.Join(filepath.Dir(a.path), auditBefore), a.path} {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return list, err
		}
		for line := range bytes.Lines(data) {
			var e AuditEntry
			if json.Unmarshal(line, &e) == nil {
				list = append(list, e)
			}
		}
	}
	return list, nil
}
