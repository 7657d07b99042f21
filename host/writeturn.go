package host

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/handover"
	"github.com/easymicro/easymicro/host/state"
)

// openStateDir opens the state directory of a manifest, and counts the previous process if it died. It returns nil if the manifest
// has none. If another process has passed the lock of the directory, nothing is written until begin is called.
func openStateDir(set *config.Set, source Source, log *slog.Logger, before *handover.Predecessor) (*stateDir, error) {
	s := set.Manifest.Host.State
	if s == nil {
		return nil, nil //nolint:nilnil // a nil stateDir keeps nothing
	}
	dir := set.Path(s.Dir)
	d := &stateDir{
		source: source, log: log, dir: s.Dir, owner: fmt.Sprintf("process %d (host %s)", os.Getpid(), hostName(set)),
		tried: make(map[string]bool), goodAfter: goodAfter,
	}
	var death *state.Death
	if lock := before.Lock(dir); lock != nil {
		d.store, d.passed = state.Adopt(dir, lock), true
	} else {
		var err error
		if d.store, err = state.Open(dir, d.owner); err != nil {
			return nil, stateProblem(set, err)
		}
		if death, err = d.store.Boot.Settle(time.Now()); err != nil {
			_ = d.store.Close()
			return nil, stateProblem(set, err)
		}
	}
	store := d.store
	d.writer = newStateWriter(s.Dir, log, !d.passed)
	d.before = store.History(s.History)
	for _, w := range store.Warnings() {
		log.Warn("host.state: " + w)
	}
	if death != nil {
		log.Warn("the last run of this host ended badly", "why", death.Why, "hash", death.Hash)
	}
	if !d.passed {
		d.catchCrashes()
	}
	return d, nil
}

// stateProblem returns the problem of a directory that cannot be used.
func stateProblem(set *config.Set, err error) error {
	message := fmt.Sprintf("cannot be used: %v: choose a directory that this user may write to", err)
	if used := new(state.InUseError); errors.As(err, &used) {
		message = used.Error()
	}
	return set.ProblemAt("host.state.dir", message)
}

// writeTurn passes a state directory from one process to another: one at a time writes to it. A nil directory has no turns.
type writeTurn struct{ *stateDir }

// begin has what was kept in memory written, once the process before writes no more.
func (t writeTurn) begin() {
	d := t.stateDir
	if d == nil || !d.passed {
		return
	}
	if err := d.store.Own(d.owner); err != nil {
		d.log.Warn("host.state: the lock does not name this process", "error", err)
	}
	d.catchCrashes()
	d.writer.begin()
}

// pause has the directory stay as it is until resume: another process reads it. It returns the lock of the directory, and the path.
func (t writeTurn) pause(set *config.Set) (lock *os.File, dir string) {
	d := t.stateDir
	if d == nil {
		return nil, ""
	}
	d.mu.Lock()
	if d.untilGood != nil {
		d.untilGood.Stop()
	}
	d.mu.Unlock()
	_ = d.writer.do(func() error { return nil }) // after all others
	return d.store.Lock(), set.Path(d.dir)
}

// resume has the directory written again, if it was not handed over.
func (t writeTurn) resume(g *generation) {
	if t.stateDir != nil {
		t.runs(g.revision, g.set, g.window.Load() != nil)
	}
}

// handOver ends all writes: they are up to the process that has the lock now.
func (t writeTurn) handOver() {
	d := t.stateDir
	if d == nil {
		return
	}
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	_ = debug.SetCrashOutput(nil, debug.CrashOptions{})
	d.writer.close()
	_ = d.store.Close()
}
