package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/gateway"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/mux"
)

// A stage serves one socket as one listener of the manifest says. A change of that listener is a new stage.
type stage struct {
	host    *Host
	config  config.Listener
	socket  *socket
	mux     *mux.Mux
	proxies *proxies
	rpcx    *wire.Server
	http    *gateway.Server
	lease   *lease
	stop    context.CancelFunc // no more connections
	cut     context.CancelFunc // no more calls
	done    sync.WaitGroup
	ended   chan struct{} // closed when done is
	failed  chan error
	conns   atomic.Int64
	leaves  atomic.Bool // HTTP answers end their connections
}

func (h *Host) newStage(cfg config.Listener, s *socket) *stage {
	limits := wireLimits(cfg.Limits)
	st := &stage{
		host: h, config: cfg, socket: s, lease: s.lease(cfg.Name, h.acceptances), ended: make(chan struct{}), failed: make(chan error, 3),
		proxies: newProxies(&cfg),
	}
	st.mux = mux.New(st.lease, mux.Options{
		FirstByteTimeout: limits.FirstByteTimeout, MaxConnections: cfg.Limits.MaxConnections,
		OnReject: func(peer net.Addr, reason string) { h.turnedAway(&cfg, peer, reason) },
		Open:     st.proxies.open,
	})
	if slices.Contains(cfg.Protocols, transportRPCX) {
		st.rpcx = wire.NewServer(wire.ServerOptions{
			Handler: h, Limits: limits, Logger: h.floods.Logger(), Budget: h.budget, Host: h.name,
			Observer: &connObserver{metrics: h.metrics, open: h.metrics.Connections(cfg.Name, transportRPCX), count: &st.conns},
		})
	}
	if slices.Contains(cfg.Protocols, transportHTTP) {
		open := connObserver{open: h.metrics.Connections(cfg.Name, transportHTTP), count: &st.conns}
		st.http = gateway.NewServer(gateway.ServerOptions{
			Handler: http.HandlerFunc(st.serveHTTP), Limits: limits, Budget: h.budget, Logger: h.floods.Logger(), Opened: open.ConnOpened, Closed: open.ConnClosed,
		})
	}
	return st
}

// adjust gives the connections that come from now on the limits and the proxies of a changed listener.
func (st *stage) adjust(cfg *config.Listener) {
	limits := wireLimits(cfg.Limits)
	st.proxies.set(cfg)
	st.mux.SetLimits(limits.FirstByteTimeout, cfg.Limits.MaxConnections)
	if st.rpcx != nil {
		st.rpcx.SetLimits(limits)
	}
	if st.http != nil {
		st.http.SetIdleTimeout(limits.IdleTimeout)
	}
}

func wireLimits(l config.Limits) wire.Limits {
	return wire.Limits{
		MaxMessageBytes:      int(l.MaxMessageBytes),
		MaxDecompressedBytes: int(l.MaxDecompressedBytes),
		MaxMetadataBytes:     int(l.MaxMetadataBytes),
		MaxMetadataPairs:     l.MaxMetadataPairs,
		MaxInFlight:          l.MaxInFlightPerConnection,
		FirstByteTimeout:     l.FirstByteTimeout.Std(),
		IdleTimeout:          l.IdleTimeout.Std(),
	}
}

// connObserver counts the connections of a listener that speak one protocol.
type connObserver struct {
	metrics *telemetry.Metrics
	open    telemetry.Gauge
	count   *atomic.Int64
}

func (o *connObserver) ConnOpened() {
	o.open.Inc()
	o.count.Add(1)
}

func (o *connObserver) ConnClosed() {
	o.open.Dec()
	o.count.Add(-1)
}

func (o *connObserver) WireError(reason string) { o.metrics.WireError(reason) }

// start serves until drain. ctx outlives the accepting: its end cuts what is left.
func (st *stage) start(ctx context.Context) {
	ctx, st.cut = context.WithCancel(ctx)
	accepting, stop := context.WithCancel(ctx)
	st.stop = stop
	if st.rpcx != nil {
		ln := st.mux.Match(func(first byte) bool { return first == wire.Magic })
		st.done.Go(func() { st.end("rpcx", st.rpcx.Serve(ctx, ln)) })
	}
	if st.http != nil {
		ln := st.mux.Match(func(first byte) bool { return first >= 'A' && first <= 'Z' })
		st.done.Go(func() { st.end("http", st.http.Serve(ctx, ln)) })
	}
	st.done.Go(func() { st.end("accept", st.mux.Serve(accepting)) })
}

// end reports what ended a part of the stage, unless it was asked to end.
func (st *stage) end(part string, err error) {
	if err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) || errors.Is(err, wire.ErrServerClosed) ||
		errors.Is(err, context.Canceled) {
		return
	}
	st.failed <- fmt.Errorf("listener %s (%s): %w", st.config.Name, part, err)
}

const (
	// drainQuiet is how long what has connected has time to say what it wants before it is let go.
	drainQuiet = 100 * time.Millisecond
	// cutWait is how long calls that are cut have time to notice.
	cutWait = 400 * time.Millisecond
)

// drain stops accepting and serves what is on the wire until ctx ends; then it cuts. keep leaves the socket open for
// the stage that follows.
func (st *stage) drain(ctx context.Context, keep bool) {
	st.leaves.Store(true)
	st.lease.pause()
	if !keep {
		_ = st.socket.close()
	}
	pause(ctx, drainQuiet)
	var parts sync.WaitGroup
	if st.rpcx != nil {
		parts.Go(func() { _ = st.rpcx.Shutdown(ctx) })
	}
	if st.http != nil {
		parts.Go(func() {
			if st.http.Shutdown(ctx) != nil {
				_ = st.http.Close()
			}
		})
	}
	parts.Wait()
	st.stop() // not before: a server whose listener fails cuts its connections
	st.cut()
	select {
	case <-st.ended:
	case <-time.After(cutWait):
	}
}

// label is how people are told of the listener: "rpcx+http 127.0.0.1:8972 (this machine only)".
func (st *stage) label() string {
	text := strings.Join(st.config.Protocols, "+") + " " + st.socket.addr().String()
	if localOnly(st.socket.addr()) {
		text += " (this machine only)"
	}
	return text
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
