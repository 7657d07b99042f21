package host

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

// operators is a listener for people and their tools: admin or health.
type operators struct {
	server  *http.Server
	socket  *socket
	address config.Address // as the manifest has it
	done    chan struct{}
}

// startAdmin opens the admin listener, whose address stays until the next start.
func (h *Host) startAdmin(ctx context.Context, set *config.Set) error {
	address := set.Manifest.Admin.Address
	if address == "" {
		return nil
	}
	s, err := bind(ctx, set, "admin.address", address)
	if err != nil {
		return err
	}
	h.admin.Store(h.operate("admin", s, address, func(g *generation) http.Handler { return g.admin }))
	return nil
}

// operate serves people on s, always with the handler of the generation in force. The name is for logs and metrics.
func (h *Host) operate(name string, s *socket, address config.Address, handler func(*generation) http.Handler) *operators {
	ln := newOperatorListener(s.ln, name, h.acceptances)
	serve := func(w http.ResponseWriter, r *http.Request) { ln.serve(handler(h.current.Load()), w, r) }
	o := &operators{
		server: admin.NewServer(http.HandlerFunc(serve), h.floods.Logger()), socket: s, address: address, done: make(chan struct{}),
	}
	o.server.ConnState, o.server.ConnContext = ln.state, ln.with
	go func() {
		defer close(o.done)
		if err := o.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("the listener at "+s.addr().String()+" failed", "error", err)
		}
	}()
	return o
}

func (o *operators) stop(ctx context.Context) {
	if o == nil {
		return
	}
	if o.server.Shutdown(ctx) != nil {
		_ = o.server.Close()
	}
	<-o.done
}

func (h *Host) stopOperators(ctx context.Context) {
	h.admin.Load().stop(ctx)
	h.health.Load().stop(ctx)
}

// newOperators makes the handlers for operators of a generation. What only a start changes stays.
func (h *Host) newOperators(g *generation) error {
	token, err := AdminToken(g.set)
	if err != nil {
		return err
	}
	o := admin.Options{
		Logger: h.log, MetricsPath: g.set.Manifest.Telemetry.Metrics.Path, Pprof: h.first.Manifest.Admin.PProf,
		Token: token,
	}
	g.admin = admin.Handler(h.api(), o)
	g.health = admin.HealthHandler(h.api(), o)
	return nil
}

// AdminToken is the bearer token of the operators as it stood in its file when the set was read; empty without one.
func AdminToken(set *config.Set) (string, error) {
	return secret(set, "admin.tokenFile", set.Manifest.Admin.TokenFile)
}

// AdminAddr is where the admin listener is bound, and nil when it is off.
func (h *Host) AdminAddr() net.Addr { return h.admin.Load().addr() }

// HealthAddr is where the health listener is bound, and nil when it is off.
func (h *Host) HealthAddr() net.Addr { return h.health.Load().addr() }

func (o *operators) addr() net.Addr {
	if o == nil {
		return nil
	}
	return o.socket.addr()
}

// AdminURL is where the operators find the host; empty when the admin listener is off.
func (h *Host) AdminURL() string {
	addr := h.AdminAddr()
	if addr == nil {
		return ""
	}
	if addr.Network() == "unix" {
		return "unix://" + addr.String()
	}
	return "http://" + addr.String()
}
