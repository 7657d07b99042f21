package host

import (
	"context"
	"slices"
	"sync"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/watch"
	"github.com/easymicro/easymicro/host/admin"
)

// follow applies what changes in the files, until ctx ends.
func (h *Host) follow(ctx context.Context) {
	if h.watcher == nil {
		<-ctx.Done()
		return
	}
	var again secondLook
	defer again.forget()
	err := h.watcher.Watch(ctx, func(hash string) {
		again.forget() // what is there now has taken its place
		c := change{source: SourceFile, read: hash}
		if _, c.seen, _ = h.look(ctx, c); c.seen != "" { // all else is recorded, logged and shown there
			again.begin(ctx, h, c)
		}
	})
	if err != nil {
		h.log.Error("the files are no longer followed; easymicro reload still reads them", "error", err)
	}
}

// secondLook is the wait for one, which holds no other edit up.
type secondLook struct {
	end   context.CancelFunc
	waits sync.WaitGroup
}

func (s *secondLook) begin(ctx context.Context, h *Host, c change) {
	waiting, end := context.WithCancel(ctx)
	s.end = end
	c.read = "" // the second look reads the files again
	s.waits.Go(func() {
		for c.seen != "" && h.await(waiting, h.lookAgain) == nil {
			_, c.seen, _ = h.look(ctx, c)
		}
	})
}

// forget ends the wait. A change that is being made already is made.
func (s *secondLook) forget() {
	if s.end != nil {
		s.end()
	}
	s.waits.Wait()
}

func (h *Host) newWatcher() *watch.Watcher {
	if h.source == nil {
		return nil
	}
	told := make(map[config.Problem]bool)
	dirs := func() []string { // asked at each poll
		for _, w := range h.mounted() {
			if !told[w] && !slices.Contains(h.Set().Warnings, w) {
				h.warn(w)
			}
			told[w] = true
		}
		return h.source.Dirs()
	}
	return watch.New(watch.Options{
		Dirs: dirs, Hash: h.source.Hash, Known: h.first.Hash, Timing: h.watchTiming, Logger: h.log,
	})
}

// mounted returns warnings about files that changes do not reach, of a source that knows of mounts.
func (h *Host) mounted() config.Problems {
	if s, ok := h.source.(interface{ Mounted() config.Problems }); ok {
		return s.Mounted()
	}
	return nil
}

func (h *Host) watchTiming() watch.Timing {
	set := h.first // as long as handlers are being opened
	if g := h.current.Load(); g != nil {
		set = g.set
	}
	w := set.Manifest.Policies.Watch
	return watch.Timing{Debounce: w.Debounce.Std(), MaxDelay: w.MaxDelay.Std(), Poll: w.Poll.Std()}
}

// watchView is how well the files are followed.
func (h *Host) watchView() admin.Watch {
	if h.watcher == nil {
		return admin.Watch{Mode: "off", Healthy: true}
	}
	v := admin.Watch{Mode: "events", Healthy: true, Directories: h.source.Dirs(), Mounted: h.mounted()}
	if s := h.watcher.State(); s.Polling {
		v.Mode, v.Healthy, v.Error = "poll", false, s.Problem
	}
	return v
}
