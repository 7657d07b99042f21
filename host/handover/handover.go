// Package handover passes the sockets of a process to a new one, which serves them before the old process stops.
//
// The old process starts the new one with its sockets as open files, two pipes for words and one for standard error. The new
// process says ready once it can serve. The old one then says go and stops accepting, and the new one starts accepting; until
// then the old one can go on unaffected.
package handover

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Variable names the environment variable that describes the passed files to the new process.
const Variable = "EM_HANDOVER"

// ErrUnsupported is returned where processes cannot pass sockets.
var ErrUnsupported = errors.New("this system cannot pass sockets to a new process")

// Socket is a socket that listens at an address. File is nil in the description of a passed one.
type Socket struct {
	Listener string   `json:"listener"` // its name
	Network  string   `json:"network"`  // tcp, unix or systemd
	Address  string   `json:"address"`  // as asked for: port 0 stays 0
	File     *os.File `json:"-"`
}

// description is the value of Variable.
type description struct {
	Lock    string          `json:"lock,omitempty"`  // directory whose lock is passed
	State   json.RawMessage `json:"state,omitempty"` // of the old process
	Sockets []Socket        `json:"sockets"`
}

// Words of the two processes, a line each.
const (
	wordReady     = "ready"     // from the new process: it can serve
	wordPublished = "published" // from the new process: discovery has it
	wordYields    = "yields"    // from the new process: it ends without taking over
	wordGo        = "go"        // from the old process: it stops accepting
)

// The files of the new process, by descriptor. The sockets follow, after the lock if there is one.
const (
	fileWords  = 3 // to read the words of the old process
	fileAnswer = 4 // to write those of the new process
	fileErrors = 5 // standard error: the new process starts with a pipe in its place
	fileFirst  = 6
)

// Self returns the path at which the running program was started, so that it is that of a new file once it has been replaced. A
// symbolic link stays one. Call it early: the path may be relative.
func Self() (string, error) {
	running, err := os.Executable()
	if err != nil {
		return "", err
	}
	if path, err := exec.LookPath(os.Args[0]); err == nil {
		if path, err = filepath.Abs(path); err == nil && same(path, running) {
			return path, nil
		}
	}
	return running, nil
}

func same(a, b string) bool {
	x, err := os.Stat(a) //nolint:gosec // the file that was started
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// environment returns that of the process for a new one. What systemd says of sockets and the watchdog is for this process only.
func environment(about []byte) []string {
	env := make([]string, 0, len(os.Environ())+1)
	for _, pair := range os.Environ() {
		switch name, _, _ := strings.Cut(pair, "="); name {
		case Variable, "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES":
		default:
			env = append(env, pair)
		}
	}
	return append(env, Variable+"="+string(about))
}
