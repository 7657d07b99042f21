// Package listen serves the addresses of a manifest: the listeners for callers, and those for admin and health.
package listen

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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

	Calls   wire.Handler                       // handles calls over rpcx
	Gateway func(listener string) http.Handler // returns the one in force, for HTTP requests
	Admin   func() http.Handler                // the same for the admin listener
	Health  func() http.Handler                // the same for the health listener
	Failed  func(err error)                    // called when a listener stops accepting by itself

	// Passed returns a socket that another process has passed for a listener; it may be nil, and return nil for none. The
	// network is tcp, unix or systemd.
	Passed func(listener, network, address string) (net.Listener, error)
	// Held has the listeners accept nothing before Release: until then another process accepts on their sockets.
	Held bool
}

// Listeners are the open listeners of a host. All methods but Plan, Open and those of a Plan may be called concurrently.
type Listeners struct {
	o       Options
	outages *outages
	held    chan struct{} // closed by Release

	serving sync.WaitGroup
	open    atomic.Bool
	servers atomic.Pointer[map[string]*server] // by listener
	tls     encryptions                        // in force
	admin   atomic.Pointer[adminServer]
	health  atomic.Pointer[adminServer]
}

// New returns Listeners that are not open.
func New(o Options) *Listeners {
	l := &Listeners{o: o, outages: newOutages(o.Log, o.Metrics.AcceptError), held: make(chan struct{})}
	l.servers.Store(new(map[string]*server))
	if !o.Held {
		l.Release()
	}
	return l
}

// Release has held listeners accept. Call it once.
func (l *Listeners) Release() { close(l.held) }

// Open binds all addresses of a set and serves them until Drain and Close; connections that are left when life ends are
// closed. If it fails, nothing is open.
func (l *Listeners) Open(ctx, life context.Context, set *config.Set) error {
	l.open.Store(true)
	plan, err := l.Plan(ctx, set)
	if err == nil {
		err = l.openAdmin(ctx, set, plan.encrypt(config.AdminListener))
	}
	if err != nil {
		l.open.Store(false)
		plan.Abandon()
		return err
	}
	plan.Commit(life)
	return nil
}

// Plan binds the addresses that a set adds, once the listeners are open, and reads the certificates. If Plan fails, the plan
// must be abandoned.
func (l *Listeners) Plan(ctx context.Context, set *config.Set) (*Plan, error) {
	p := &Plan{of: l, set: set, next: make(map[string]*server), kept: make(map[socket]bool)}
	var err error
	if p.tls, p.Warnings, err = planEncryptions(set, l.tls); err == nil && l.open.Load() {
		err = p.bind(ctx)
	}
	return p, err
}

// IsOpen reports whether the addresses are bound.
func (l *Listeners) IsOpen() bool { return l.open.Load() }

// openAdmin binds the admin listener, whose address changes only at the next start.
func (l *Listeners) openAdmin(ctx context.Context, set *config.Set, e *encryption) error {
	address := set.Manifest.Admin.Address
	if address == "" {
		return nil
	}
	s, err := binder{set, l.o.Passed}.bind(ctx, "admin.address", config.AdminListener, address)
	if err != nil {
		return err
	}
	l.admin.Store(serveAdmin(l, config.AdminListener, s, address, l.o.Admin, e))
	return nil
}

// Drain stops accepting on the listeners for callers and serves the requests in flight until ctx ends; then it closes
// the connections. The admin and health listeners keep serving.
func (l *Listeners) Drain(ctx context.Context) {
	var draining sync.WaitGroup
	for _, s := range *l.servers.Load() {
		draining.Go(func() { s.drain(ctx, false, firstRequestWait) })
	}
	draining.Wait()
}

// handedOverWait is how long connections have for the beginning of a request once another process accepts: longer than usual,
// since nothing waits for the end of this one.
const handedOverWait = 2 * time.Second

// DrainHandedOver drains like Drain, but after another process has begun to accept on the sockets. It also stops the admin and
// health listeners.
func (l *Listeners) DrainHandedOver(ctx context.Context) {
	var draining sync.WaitGroup
	for _, s := range *l.servers.Load() {
		draining.Go(func() { s.drain(ctx, false, handedOverWait) })
	}
	draining.Go(func() { l.admin.Load().stop(ctx) })
	draining.Go(func() { l.health.Load().stop(ctx) })
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

// Sockets returns the open sockets, those of admin and health included.
func (l *Listeners) Sockets() Sockets {
	var list Sockets
	for name, s := range *l.servers.Load() {
		list = append(list, bound{name, s.config.Address, s.socket})
	}
	for name, a := range map[string]*adminServer{config.AdminListener: l.admin.Load(), config.HealthListener: l.health.Load()} {
		if a != nil {
			list = append(list, bound{name, a.address, a.socket})
		}
	}
	return list
}

// Addr returns the address that a listener is bound to, or nil if it is not open.
func (l *Listeners) Addr(listener string) net.Addr {
	if s, ok := (*l.servers.Load())[listener]; ok {
		return s.socket.Addr()
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
		text := strings.Join(s.config.Protocols, "+")
		if s.mux.UsesTLS() {
			text += " over TLS"
		}
		text += " " + s.socket.Addr().String()
		if localOnly(s.socket.Addr()) {
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
			Name: s.config.Name, Address: s.socket.Addr().String(), Protocols: s.config.Protocols,
			Connections: int(s.conns.Load()), Local: localOnly(s.socket.Addr()), TLS: s.mux.UsesTLS(),
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

// A Plan is a change of the listeners. Its new sockets are bound; Commit or Abandon ends it, and after Commit Retire.
type Plan struct {
	Warnings config.Problems // of certificates that stay in use as they were

	of    *Listeners
	set   *config.Set
	tls   encryptions
	next  map[string]*server
	gone  []*server
	kept  map[socket]bool // served by next
	bound []socket        // opened for this plan

	health        socket // opened for the health listener
	healthChanged bool
	oldHealth     *adminServer
}

// bind binds the addresses that the set adds.
func (p *Plan) bind(ctx context.Context) error {
	current := *p.of.servers.Load()
	listeners := p.set.Manifest.Listeners
	for _, cfg := range listeners {
		if old := current[cfg.Name]; old != nil && old.config.Address == cfg.Address && slices.Equal(old.config.Protocols, cfg.Protocols) {
			p.next[cfg.Name] = old
			p.kept[old.socket] = true
		}
	}
	for i, cfg := range listeners {
		if p.next[cfg.Name] != nil {
			continue
		}
		s := p.takeOver(current, cfg)
		if s == nil {
			var err error
			if s, err = p.binder().bind(ctx, fmt.Sprintf("listeners[%d].address", i), cfg.Name, cfg.Address); err != nil {
				return err
			}
			p.bound = append(p.bound, s)
		}
		p.kept[s] = true
		p.next[cfg.Name] = newServer(p.of, cfg, s)
	}
	for name, s := range current {
		if p.next[name] != s {
			p.gone = append(p.gone, s)
		}
	}
	return p.bindHealth(ctx)
}

func (p *Plan) binder() binder { return binder{p.set, p.of.o.Passed} }

// takeOver returns the socket of a server that ends, for a new one with the same address: preferably that of the same
// name, since several may have port 0.
func (p *Plan) takeOver(current map[string]*server, cfg config.Listener) socket {
	if old := current[cfg.Name]; old != nil && old.config.Address == cfg.Address && !p.kept[old.socket] {
		return old.socket
	}
	for _, old := range current {
		if old.config.Address == cfg.Address && !p.kept[old.socket] {
			return old.socket
		}
	}
	return nil
}

func (p *Plan) bindHealth(ctx context.Context) error {
	var current config.Address
	if running := p.of.health.Load(); running != nil {
		current = running.address
	}
	address := p.set.Manifest.Health.Address
	p.healthChanged = address != current
	if !p.healthChanged || address == "" {
		return nil
	}
	var err error
	p.health, err = p.binder().bind(ctx, "health.address", config.HealthListener, address)
	return err
}

// Commit starts the new servers; their calls end with life.
func (p *Plan) Commit(life context.Context) {
	l := p.of
	l.tls = p.tls
	if !l.open.Load() {
		return
	}
	before := *l.servers.Swap(&p.next)
	for _, cfg := range p.set.Manifest.Listeners {
		s := p.next[cfg.Name]
		s.encrypt(p.encrypt(cfg.Name))
		if s == before[cfg.Name] {
			s.adjust(&cfg)
		} else {
			s.start(life)
		}
	}
	l.admin.Load().setTLS(p.encrypt(config.AdminListener))
	health := p.encrypt(config.HealthListener)
	if !p.healthChanged {
		l.health.Load().setTLS(health)
		return
	}
	var next *adminServer
	if p.health != nil {
		next = serveAdmin(l, config.HealthListener, p.health, p.set.Manifest.Health.Address, l.o.Health, health)
	}
	p.oldHealth = l.health.Swap(next)
}

// encrypt returns the TLS of a listener, and shows in the metrics until when its certificate is valid; nil if it has none.
func (p *Plan) encrypt(listener string) *encryption {
	e := p.tls[listener]
	var end func() time.Time
	if e != nil {
		end = e.notAfter
	}
	p.of.o.Metrics.SetNotAfter(listener, end)
	return e
}

// Abandon closes what was opened for the plan; there is nothing to retire then.
func (p *Plan) Abandon() {
	p.gone = nil
	for _, s := range p.bound {
		_ = s.Close()
	}
	if p.health != nil {
		_ = p.health.Close()
	}
}

// healthStop bounds the requests of a health listener that is replaced.
const healthStop = 5 * time.Second

// Retire drains the servers that Commit replaced, and the connections of peers that have lost trust, and returns when the
// servers have ended.
func (p *Plan) Retire(life context.Context, _ <-chan struct{}) {
	var retiring sync.WaitGroup
	defer retiring.Wait()
	for _, s := range p.next {
		retiring.Go(s.recheck)
	}
	for _, s := range p.gone {
		retiring.Go(func() {
			ctx, cancel := context.WithTimeout(life, p.set.Manifest.Host.Shutdown.GracePeriod.Std())
			defer cancel()
			s.drain(ctx, p.kept[s.socket], firstRequestWait)
			if p.of.Addr(s.config.Name) == nil {
				p.of.o.Metrics.DropListener(s.config.Name)
			}
		})
	}
	if p.oldHealth != nil {
		ctx, cancel := context.WithTimeout(life, healthStop)
		defer cancel()
		p.oldHealth.stop(ctx)
	}
}
