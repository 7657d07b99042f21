package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
)

// ErrNoSource is what Reload returns on a host that was given no Source.
var ErrNoSource = errors.New("this host has no files to reload from")

// lookAgain is how long a set that takes much out of force at once has to stay as it is before it is applied: somebody
// may be writing it.
const lookAgain = time.Second

// Reload reads the set again and puts it into force. source is one of the Source constants; who is shown in the
// history. The error says why nothing changed; a set that did not change is no error.
func (h *Host) Reload(ctx context.Context, source, who string) (Revision, error) {
	return h.reload(ctx, change{source: source, who: who})
}

func (h *Host) reload(ctx context.Context, c change) (Revision, error) {
	for {
		r, doubtful, err := h.look(ctx, c)
		if doubtful == "" {
			return r, err
		}
		c.seen = doubtful
		switch err := h.await(ctx, h.lookAgain); {
		case errors.Is(err, ErrDraining):
			return Revision{}, err
		case err != nil:
			return Revision{}, fmt.Errorf("not applied: rules would go out of force, and the files did not stay the same for %s: %w", h.lookAgain, err)
		}
	}
}

// look reads the set once and puts it into force. A set that takes much out of force is applied only if its content was
// seen a while before; otherwise look returns its hash, and the caller looks again later. Nobody is held up meanwhile.
func (h *Host) look(ctx context.Context, c change) (r Revision, doubtful string, err error) {
	if h.source == nil {
		return Revision{}, "", ErrNoSource
	}
	h.reloading.Lock()
	defer h.reloading.Unlock()
	set, err := h.load(ctx, c.read)
	running := h.Set()
	switch {
	case h.draining.Load():
		return Revision{}, "", ErrDraining
	case err != nil && ctx.Err() != nil: // it was given up, which says nothing about the files
		return Revision{}, "", ctx.Err()
	case err != nil:
		r, err = h.refuse(c, err)
		return r, "", err
	case set.Hash == running.Hash && !c.force:
		return h.unchanged(set, c), "", nil
	}
	if lost := config.Lost(running, set); set.Hash != c.seen && lost.Doubtful() {
		h.log.Info("an edit takes rules out of force: it is applied if it is still the same in "+h.lookAgain.String(),
			"source", c.source, "lost", problemLines(lost.Warnings().Few()))
		return Revision{}, set.Hash, nil
	}
	r, err = h.apply(ctx, set, c)
	return r, "", err
}

// load reads the set again, or builds it from what was just read for its hash.
func (h *Host) load(ctx context.Context, read string) (*config.Set, error) {
	if f, ok := h.source.(*Files); ok && read != "" {
		return f.loadRead(ctx, read)
	}
	return h.source.Load(ctx)
}

// await waits for d. It returns early, with an error, when ctx ends or the host drains.
func (h *Host) await(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-h.changing.Done():
		return ErrDraining
	}
}

// refuse records files that could not be read or decoded. The same bad content, seen again, is not news. What could not be
// read is read again at the next poll, since its content may be that of an edit.
func (h *Host) refuse(c change, err error) (Revision, error) {
	var wrong config.Problems
	if h.watcher != nil && !errors.As(err, &wrong) {
		h.watcher.Retry()
	}
	var hash string
	if files := new(load.Error); errors.As(err, &files) {
		hash = files.Hash
	} else {
		hash, _ = h.source.Hash()
	}
	r := h.rejected(hash, nil, c, err)
	if last := h.history.latest(); c.source == SourceFile && last.Result == ResultRejected && last.Hash == hash &&
		last.Error == r.Error && last.Problems.Error() == r.Problems.Error() {
		return last, err
	}
	h.record(r)
	return r, err
}

// unchanged is the outcome of reading what already runs. It is worth a word when somebody asked, and after a rejected
// attempt: files and host agree again.
func (h *Host) unchanged(set *config.Set, c change) Revision {
	r := Revision{
		Number: h.current.Load().revision, Hash: set.Hash, At: time.Now(), Source: c.source, Who: c.who,
		Result: ResultUnchanged, Rules: len(set.Rules), Files: set.Files, set: set,
	}
	if c.source != SourceFile || h.history.latest().Result == ResultRejected {
		h.record(r)
	}
	return r
}
