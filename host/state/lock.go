package state

import (
	"os"
	"path/filepath"
	"strings"
)

// InUseError is the error of Open for a directory that another process uses.
type InUseError struct{ Dir, Owner string }

// Error names the other process.
func (e *InUseError) Error() string {
	return e.Dir + " is in use by " + e.Owner + ": give each host a directory of its own"
}

// lockDir locks a directory. owner describes this process to others.
func lockDir(dir, owner string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	free, err := tryLock(f)
	switch {
	case err == nil && !free:
		other, _ := os.ReadFile(f.Name())
		err = &InUseError{Dir: dir, Owner: strings.TrimSpace(string(other))}
	case err == nil:
		err = sign(f, owner)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// sign writes to a locked file who has locked it.
func sign(lock *os.File, owner string) error {
	err := lock.Truncate(0)
	if err == nil {
		_, err = lock.WriteAt([]byte(owner+"\n"), 0)
	}
	return err
}
