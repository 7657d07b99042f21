// Package systemd receives sockets from the service manager of a host, and sends notifications to it.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// Manager is the service manager that has started the process. Without one, it has no sockets, and nothing is sent. It may be
// shared.
type Manager struct {
	log   *slog.Logger
	files map[string][]*os.File // by name
	mute  atomic.Bool           // another process has the unit
}

// New returns the service manager of the process. It takes the sockets from the environment: call it once.
func New() *Manager {
	return &Manager{log: slog.New(slog.DiscardHandler), files: activation.FilesWithNames()}
}

// Add adds a socket that was passed to the process before. Call it before the manager is shared.
func (m *Manager) Add(name string, f *os.File) {
	if m.files == nil {
		m.files = make(map[string][]*os.File)
	}
	m.files[name] = append(m.files[name], f)
}

// Files returns the passed sockets, by name. They stay open for as long as the process runs.
func (m *Manager) Files() map[string][]*os.File { return m.files }

// Listen listens on the socket of a name, which can be done again after the listener was closed.
func (m *Manager) Listen(name string) (net.Listener, error) {
	found := m.files[name]
	switch {
	case len(m.files) == 0:
		return nil, fmt.Errorf("systemd has passed no sockets, %s is wanted: start the unit by a .socket unit with FileDescriptorName=%[1]s", name)
	case len(found) == 0:
		return nil, fmt.Errorf("systemd has passed no socket %s, only %s: set FileDescriptorName=%[1]s in the .socket unit",
			name, strings.Join(slices.Sorted(maps.Keys(m.files)), ", "))
	case len(found) > 1:
		return nil, fmt.Errorf("systemd has passed %d sockets %s: make a .socket unit, with a FileDescriptorName= of its own, for each address", len(found), name)
	}
	ln, err := net.FileListener(found[0])
	if err != nil {
		return nil, fmt.Errorf("the socket %s of systemd: %w: ListenStream= makes one that accepts connections", name, err)
	}
	return ln, nil
}

// Ready says that the process serves, at its start or after Reloading.
func (m *Manager) Ready() { m.notify(daemon.SdNotifyReady) }

// Reloading says that the process reads its files again, until Ready.
func (m *Manager) Reloading() {
	m.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

func (m *Manager) stopping() { m.notify(daemon.SdNotifyStopping) }

// HandOver says that another process is now the main one of the unit; from then on, only that one sends notifications. The id of
// this process makes it the main one again.
func (m *Manager) HandOver(pid int) {
	m.mute.Store(false)
	m.notify("MAINPID=" + strconv.Itoa(pid))
	m.mute.Store(pid != os.Getpid())
}

// Follow notifies the watchdog until stop is called, and says that the process is stopping when ctx ends. It logs failed
// notifications. Call it before the manager is shared.
func (m *Manager) Follow(ctx context.Context, log *slog.Logger) (stop func()) {
	m.log = log
	unfollow := context.AfterFunc(ctx, m.stopping)
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	watch.Go(func() { m.watch(living) })
	return func() {
		unfollow()
		end()
		watch.Wait()
	}
}

// watch says that the process lives, in half of the time within which the watchdog of the unit expects it, until ctx ends.
func (m *Manager) watch(ctx context.Context) {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		m.log.Warn("systemd's watchdog is not answered", "error", err)
	}
	if err != nil || within <= 0 {
		return
	}
	tick := time.NewTicker(max(within/2, time.Millisecond))
	defer tick.Stop()
	for {
		m.notify(daemon.SdNotifyWatchdog)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (m *Manager) notify(state string) {
	if m.mute.Load() {
		return
	}
	_, err := daemon.SdNotify(false, state)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		first, _, _ := strings.Cut(state, "\n")
		m.log.Warn("systemd is not notified", "of", first, "error", err)
	}
}
