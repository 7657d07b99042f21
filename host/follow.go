package host

import (
	"context"

	"github.com/easymicro/easymicro/config/watch"
	"github.com/easymicro/easymicro/host/admin"
)

// follow applies what changes in the files, until ctx ends.
func (h *Host) follow(ctx context.Context) {
	if h.watcher == nil {
		<-ctx.Done()
		return
	}
	err := h.watcher.Watch(ctx, func(string) {
		_, _ = h.reload(ctx, change{source: SourceFile}) // recorded, logged and shown there
	})
	if err != nil {
		h.log.Error("the files are no longer followed; easymicro reload still reads them", "error", err)
	}
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
