package listen

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/gateway"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/mux"
)

// server serves a socket for a listener of the manifest. If the address or the protocols of the listener change, it gets
// a new server.
type server struct {
	of      *Listeners
	config  config.Listener
	socket  socket
	mux     *mux.Mux
	proxies proxies
	rpcx    *wire.Server
	http    *gateway.Server
	lease   *lease
	stop    context.CancelFunc // accepts no more connections
	cut     context.CancelFunc // ends the calls
	running sync.WaitGroup
	ended   chan struct{} // closed when running is done
	failed  chan error
	conns   atomic.Int64
	drains  atomic.Bool // HTTP responses close their connections

	encryption atomic.Pointer[encryption] // nil: no TLS
}

func newServer(l *Listeners, cfg config.Listener, s socket) *server {
	limits := Limits(cfg.Limits)
	srv := &server{
		of: l, config: cfg, socket: s, lease: newLease(s, cfg.Name, l), ended: make(chan struct{}), failed: make(chan error, 3),
	}
	srv.proxies.set(&cfg)
	srv.mux = mux.New(srv.lease, mux.Options{
		FirstByteTimeout: limits.FirstByteTimeout, MaxConnections: cfg.Limits.MaxConnections,
		OnReject: srv.rejected, Answer: mismatches{l.o.Host, limits}.answer,
		Open: srv.proxies.open,
	})
	if slices.Contains(cfg.Protocols, wire.TransportRPCX) {
		srv.rpcx = wire.NewServer(wire.ServerOptions{
			Trusts: srv.trusts, Handler: l.o.Calls, Limits: limits, Logger: l.o.Sampler.Logger(), Budget: l.o.Budget, Host: l.o.Host,
			Observer: &connObserver{metrics: l.o.Metrics, open: l.o.Metrics.Connections(cfg.Name, wire.TransportRPCX), count: &srv.conns},
		})
	}
	if slices.Contains(cfg.Protocols, wire.TransportHTTP) {
		open := connObserver{open: l.o.Metrics.Connections(cfg.Name, wire.TransportHTTP), count: &srv.conns}
		srv.http = gateway.NewServer(gateway.ServerOptions{
			Handler: http.HandlerFunc(srv.serveHTTP), Limits: limits, Budget: l.o.Budget, Logger: l.o.Sampler.Logger(),
			Opened: open.ConnOpened, Closed: open.ConnClosed, Trusts: srv.trusts,
		})
	}
	return srv
}

// Limits returns the limits of a listener as servers take them.
func Limits(l config.Limits) wire.Limits {
	return wire.Limits{
		MaxMessageBytes:      int(l.MaxMessageBytes),
		MaxDecompressedBytes: int(l.MaxDecompressedBytes),
		MaxMetadataBytes:     int(l.MaxMetadataBytes),
		MaxMetadataPairs:     l.MaxMetadataPairs,
		MaxInFlight:          l.MaxInFlightPerConnection,
		FirstByteTimeout:     l.FirstByteTimeout.Std(),
		IdleTimeout:          l.IdleTimeout.Std(),
		MaxConnectionAge:     l.MaxConnectionAge.Std(),
	}
}

// adjust applies the limits and the proxies of a changed listener to new connections.
func (s *server) adjust(cfg *config.Listener) {
	limits := Limits(cfg.Limits)
	s.proxies.set(cfg)
	s.mux.SetLimits(limits.FirstByteTimeout, cfg.Limits.MaxConnections)
	if s.rpcx != nil {
		s.rpcx.SetLimits(limits)
	}
	if s.http != nil {
		s.http.SetTimeouts(limits.IdleTimeout, limits.MaxConnectionAge)
	}
}

// encrypt has new connections use TLS, or none if e is nil.
func (s *server) encrypt(e *encryption) {
	s.encryption.Store(e) // first: a connection may have begun under the TLS before it
	s.mux.SetTLS(e.commit())
}

func (s *server) trusts(c net.Conn) bool { return s.encryption.Load().trusts(c) }

// recheck drains the open connections of peers that have lost trust.
func (s *server) recheck() {
	if s.rpcx != nil {
		s.rpcx.Recheck()
	}
	if s.http != nil {
		s.http.Recheck()
	}
}

func (s *server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if s.drains.Load() {
		w.Header().Set("Connection", "close")
	}
	s.of.o.Gateway(s.config.Name).ServeHTTP(w, r)
}

const maxErrorText = 200 // in the log: an error of a handshake quotes what the peer has sent

// rejected counts and logs a connection that was closed: it spoke no protocol of the listener, or its PROXY header or its
// TLS handshake was not accepted.
func (s *server) rejected(peer net.Addr, reason string, err error) {
	s.of.o.Metrics.WireError(reason)
	kind := telemetry.LogKey{Subject: telemetry.LogAttrs{{"listener", s.config.Name}, {"reason", reason}}}
	s.of.o.Sampler.Log(slog.LevelWarn, "connection rejected", kind, func() []slog.Attr {
		attrs := []slog.Attr{slog.String("peer", peer.String()), slog.Any("speaks", s.config.Protocols)}
		if err != nil {
			attrs = append(attrs, slog.String("error", code.Clip(err.Error(), maxErrorText)))
		}
		if advice := cmp.Or(proxyAdvice[reason], tlsAdvice(reason, err)); advice != "" {
			attrs = append(attrs, slog.String("advice", advice))
		}
		return attrs
	})
}

// start serves until drain. Calls are cancelled when ctx ends.
func (s *server) start(ctx context.Context) {
	ctx, s.cut = context.WithCancel(ctx)
	accepting, stop := context.WithCancel(ctx)
	s.stop = stop
	if s.rpcx != nil {
		ln := s.mux.Match(func(first byte) bool { return first == wire.Magic })
		s.running.Go(func() { s.fail(wire.TransportRPCX, s.rpcx.Serve(ctx, ln)) })
	}
	if s.http != nil {
		ln := s.mux.Match(func(first byte) bool { return first >= 'A' && first <= 'Z' })
		s.running.Go(func() { s.fail(wire.TransportHTTP, s.http.Serve(ctx, ln)) })
	}
	s.running.Go(func() { s.fail("accept", s.mux.Serve(accepting)) })
	s.of.serving.Go(func() {
		s.running.Wait()
		close(s.ended)
		select {
		case err := <-s.failed:
			s.of.o.Failed(err)
		default:
		}
	})
}

// fail keeps the error that ended a part of the server, unless it was asked to end.
func (s *server) fail(part string, err error) {
	if err == nil || errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) || errors.Is(err, wire.ErrServerClosed) ||
		errors.Is(err, context.Canceled) {
		return
	}
	s.failed <- fmt.Errorf("listener %s (%s): %w", s.config.Name, part, err)
}

const (
	// firstRequestWait is how long new connections usually have for the beginning of a request before they are closed.
	firstRequestWait = 100 * time.Millisecond
	// cutWait is how long cancelled calls have to return.
	cutWait = 400 * time.Millisecond
)

// drain stops accepting and serves the requests in flight until ctx ends; then it closes the connections. New connections have
// until wait for the beginning of a request. keep leaves the socket open for the next server of its address.
func (s *server) drain(ctx context.Context, keep bool, wait time.Duration) {
	s.drains.Store(true)
	s.lease.pause()
	if !keep {
		_ = s.socket.Close()
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
	}
	var parts sync.WaitGroup
	if s.rpcx != nil {
		parts.Go(func() { _ = s.rpcx.Shutdown(ctx) })
	}
	if s.http != nil {
		parts.Go(func() {
			if s.http.Shutdown(ctx) != nil {
				_ = s.http.Close()
			}
		})
	}
	parts.Wait()
	s.stop() // not before: a server whose listener fails cuts its connections
	s.cut()
	select {
	case <-s.ended:
	case <-time.After(cutWait):
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
