package host

import (
	"context"
	"sync"

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
	err := h.watcher.Watch(ctx, func(string) {
		again.forget() // what is there now has taken its place
		c := change{source: SourceFile}
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
	return watch.New(watch.Options{
		Dirs: h.source.Dirs, Hash: h.source.Hash, Known: h.first.Hash, Timing: h.watchTiming, Logger: h.log,
	})
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
	s := h.watcher.State()
	if s.Polling {
		return admin.Watch{Mode: "poll", Error: s.Problem, Directories: h.source.Dirs()}
	}
	return admin.Watch{Mode: "events", Healthy: true, Directories: h.source.Dirs()}
}
