// Package listen serves the addresses of a manifest: the listeners for callers, and those for admin and health.
package listen

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/wire"
)

// Options are what listeners need of their host. All are required.
type Options struct {
	Host    string // its name
	Log     *slog.Logger
	Sampler *telemetry.LogSampler // for lines that peers can cause without limit
	Metrics *telemetry.Metrics
	Budget  *wire.Budget // of all listeners

	Calls   wire.Handler                       // of calls over rpcx
	Gateway func(listener string) http.Handler // of HTTP requests, the one in force
	Admin   func() http.Handler                // of the admin listener, the same
	Health  func() http.Handler                // of the health listener, the same
	Failed  func(err error)                    // called when a listener stops accepting by itself
}

// Listeners are the open listeners of a host. All methods but Plan, Open and those of a Plan may be called concurrently.
type Listeners struct {
	o       Options
	outages *outages

	serving sync.WaitGroup
	open    atomic.Bool
	servers atomic.Pointer[map[string]*server] // by listener
	admin   atomic.Pointer[adminServer]
	health  atomic.Pointer[adminServer]
}

// New returns Listeners that are not open.
func New(o Options) *Listeners {
	l := &Listeners{o: o, outages: newOutages(o.Log, o.Metrics.AcceptError)}
	l.servers.Store(new(map[string]*server))
	return l
}

// Open binds all addresses of a set and serves them until Drain and Close; connections that are left when life ends are
// closed. If it fails, nothing is open.
func (l *Listeners) Open(ctx, life context.Context, set *config.Set) error {
	l.open.Store(true)
	plan, err := l.Plan(ctx, set)
	if err == nil {
		err = l.openAdmin(ctx, set)
	}
	if err != nil {
		l.open.Store(false)
		plan.Abandon()
		return err
	}
	plan.Commit(life)
	return nil
}

// Plan binds the addresses that a set adds. If the listeners are not open, the plan is empty. If Plan fails, the plan
// must be abandoned.
func (l *Listeners) Plan(ctx context.Context, set *config.Set) (*Plan, error) {
	p := &Plan{of: l, set: set, next: make(map[string]*server), kept: make(map[*socket]bool)}
	if !l.open.Load() {
		return p, nil
	}
	err := p.bind(ctx)
	return p, err
}

// IsOpen reports whether the addresses are bound.
func (l *Listeners) IsOpen() bool { return l.open.Load() }

// openAdmin binds the admin listener, whose address changes only at the next start.
func (l *Listeners) openAdmin(ctx context.Context, set *config.Set) error {
	address := set.Manifest.Admin.Address
	if address == "" {
		return nil
	}
	s, err := bind(ctx, set, "admin.address", address)
	if err != nil {
		return err
	}
	l.admin.Store(serveAdmin(l, "admin", s, address, l.o.Admin))
	return nil
}

// Drain stops accepting on the listeners for callers and serves the requests in flight until ctx ends; then it closes
// the connections. The admin and health listeners keep serving.
func (l *Listeners) Drain(ctx context.Context) {
	var draining sync.WaitGroup
	for _, s := range *l.servers.Load() {
		draining.Go(func() { s.drain(ctx, false) })
	}
	draining.Wait()
}

// Close stops the admin and health listeners; requests have until ctx ends.
func (l *Listeners) Close(ctx context.Context) {
	l.admin.Load().stop(ctx)
	l.health.Load().stop(ctx)
	l.outages.close()
}

// Wait waits until everything that was served has ended.
func (l *Listeners) Wait() { l.serving.Wait() }

// Addr returns the address that a listener is bound to, or nil if it is not open.
func (l *Listeners) Addr(listener string) net.Addr {
	if s, ok := (*l.servers.Load())[listener]; ok {
		return s.socket.addr()
	}
	return nil
}

// AdminAddr returns the address that the admin listener is bound to, or nil if it is off.
func (l *Listeners) AdminAddr() net.Addr { return l.admin.Load().addr() }

// HealthAddr returns the address that the health listener is bound to, or nil if it is off.
func (l *Listeners) HealthAddr() net.Addr { return l.health.Load().addr() }

// Labels describes the open listeners for display, in the order of the manifest: "rpcx+http 127.0.0.1:8972 (this machine
// only)".
func (l *Listeners) Labels(m *config.Manifest) []string {
	var labels []string
	for _, s := range l.inOrder(m) {
		text := strings.Join(s.config.Protocols, "+") + " " + s.socket.addr().String()
		if localOnly(s.socket.addr()) {
			text += " (this machine only)"
		}
		labels = append(labels, text)
	}
	return labels
}

// Status returns the open listeners in the order of the manifest.
func (l *Listeners) Status(m *config.Manifest) []admin.Listener {
	list := []admin.Listener{}
	for _, s := range l.inOrder(m) {
		list = append(list, admin.Listener{
			Name: s.config.Name, Address: s.socket.addr().String(), Protocols: s.config.Protocols,
			Connections: int(s.conns.Load()), Local: localOnly(s.socket.addr()),
		})
	}
	return list
}

// NotAccepting returns the listeners that do not accept connections, and why.
func (l *Listeners) NotAccepting() []admin.AcceptTrouble { return l.outages.list() }

func (l *Listeners) inOrder(m *config.Manifest) []*server {
	servers := *l.servers.Load()
	var list []*server
	for i := range m.Listeners {
		if s, ok := servers[m.Listeners[i].Name]; ok {
			list = append(list, s)
		}
	}
	return list
}

func localOnly(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}
