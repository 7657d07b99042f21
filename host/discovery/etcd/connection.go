package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

const (
	callTimeout  = 3 * time.Second // of one call, connecting included
	loginTimeout = 5 * time.Second // of a call with a password, which costs etcd more

	// A silent member is noticed within checkInterval + checkTimeout. gRPC's own keepalive, with pings at least minKeepalive
	// apart, takes longer; it is the fallback.
	checkInterval = 3 * time.Second // ± 10 %
	checkTimeout  = 2 * time.Second
	minKeepalive  = 10 * time.Second
)

var errClosed = errors.New("the connection to etcd was closed")

// connection holds the client of a cluster, made on first use, and the goroutines that run until close.
type connection struct {
	o   *Options
	log *slog.Logger

	dialing chan struct{} // a semaphore for making the client
	closed  chan struct{}
	running sync.WaitGroup

	mu         sync.Mutex
	client     *clientv3.Client // nil until first used
	cancels    []context.CancelFunc
	reconnects []chan struct{}
}

func newConnection(o *Options, log *slog.Logger) *connection {
	return &connection{o: o, log: log, dialing: make(chan struct{}, 1), closed: make(chan struct{})}
}

// close stops all goroutines started by spawn and waits for them.
func (c *connection) close() error {
	c.mu.Lock()
	if !isClosed(c.closed) {
		close(c.closed)
	}
	cancels := c.cancels
	c.cancels = nil
	c.mu.Unlock()
	for _, cancel := range cancels {
		cancel()
	}
	c.running.Wait()
	c.mu.Lock()
	cl := c.client
	c.client = nil
	c.mu.Unlock()
	if cl == nil {
		return nil
	}
	if err := cl.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: close: %w", c.o.label(), err)
	}
	return nil
}

// spawn runs f in a goroutine, with a context that close cancels.
func (c *connection) spawn(f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	c.mu.Lock()
	defer c.mu.Unlock()
	if isClosed(c.closed) {
		cancel()
		return
	}
	c.cancels = append(c.cancels, cancel)
	c.running.Go(func() { defer cancel(); f(ctx) })
}

// onReconnect returns a channel that is notified when the connection is lost and when it is re-established.
func (c *connection) onReconnect() chan struct{} {
	wake := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reconnects = append(c.reconnects, wake)
	return wake
}

// call makes one call with a deadline: without one it would block for as long as etcd is unreachable.
func (c *connection) call(ctx context.Context, f func(context.Context, *clientv3.Client) error) error {
	cl, err := c.connect(ctx)
	if err != nil {
		return err
	}
	short, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := f(short, cl); err != nil {
		return c.explain(ctx, cl, err)
	}
	return nil
}

// explain replaces "context deadline exceeded", the client's only error for an unreachable etcd, with the reason.
func (c *connection) explain(ctx context.Context, cl *clientv3.Client, err error) error {
	if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, failed := healthpb.NewHealthClient(cl.ActiveConnection()).Check(short, &healthpb.HealthCheckRequest{})
	if s, ok := status.FromError(failed); ok && s.Code() == codes.Unavailable {
		return fmt.Errorf("not reachable at %s: %s", c.o.members(), withTLSHint(s.Message()))
	}
	return fmt.Errorf("no answer from %s within %v: %w", c.o.members(), callTimeout, err)
}

// withTLSHint adds a hint to a gRPC error that looks like a mismatch of http and https.
func withTLSHint(text string) string {
	has := func(s string) bool { return strings.Contains(text, s) }
	broke := has("EOF") || has("connection reset") || has("broken pipe")
	switch {
	case has("handshake failed") && (broke || has("does not look like a TLS handshake")):
		return text + ": the port may not use TLS, try http://"
	case has("server preface") || has("frame header looked like an HTTP/1.1 header"):
		return text + ": the port may require TLS, try https://"
	}
	return text
}

// connect returns the client. Making it does not contact etcd, except to log in with a password.
func (c *connection) connect(ctx context.Context) (*clientv3.Client, error) {
	select {
	case c.dialing <- struct{}{}:
		defer func() { <-c.dialing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	cl := c.client
	c.mu.Unlock()
	if isClosed(c.closed) {
		return nil, errClosed
	}
	if cl != nil {
		return cl, nil
	}
	cl, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	closed := isClosed(c.closed)
	if !closed {
		c.client = cl
	}
	c.mu.Unlock()
	if closed { // meanwhile
		_ = cl.Close()
		return nil, errClosed
	}
	c.spawn(func(ctx context.Context) { c.monitor(ctx, cl.ActiveConnection()) })
	c.spawn(func(ctx context.Context) { c.checkHealth(ctx, cl.ActiveConnection()) })
	return cl, nil
}

// dial makes a client. ctx applies only until dial returns.
func (c *connection) dial(ctx context.Context) (*clientv3.Client, error) {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	undo := context.AfterFunc(ctx, end)
	cfg := c.config()
	cfg.Context = life
	cl, err := clientv3.New(cfg)
	if err == nil && !undo() {
		err = errors.Join(ctx.Err(), cl.Close())
	}
	switch {
	case err == nil:
		c.mu.Lock()
		c.cancels = append(c.cancels, end)
		c.mu.Unlock()
		return cl, nil
	case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer to authentication within %v", loginTimeout)
	}
	end()
	return nil, fmt.Errorf("connect to %s: %w", c.o.members(), err)
}

// config replaces defaults of the client that do not suit a host: it waits up to 120 s between attempts to connect, does
// not notice a silent peer, and logs to stderr.
func (c *connection) config() clientv3.Config {
	return clientv3.Config{
		Endpoints:            c.o.Endpoints,
		TLS:                  c.o.TLS,
		Username:             c.o.Username,
		Password:             c.o.Password,
		DialTimeout:          loginTimeout,
		DialKeepAliveTime:    minKeepalive,
		DialKeepAliveTimeout: checkTimeout,
		Logger:               zap.New(debugCore{c.log}),
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(dialMember),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           grpcbackoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
				MinConnectTimeout: 2 * time.Second,
			}),
		},
	}
}

// monitor notifies reconnects when the connection is lost and when it is re-established: the address may belong to another
// cluster by then, where a watch from an old revision would hang.
func (c *connection) monitor(ctx context.Context, conn *grpc.ClientConn) {
	was, failed := connectivity.Idle, false
	for {
		is := conn.GetState()
		switch {
		case was == connectivity.Ready: // even if it is ready again: it is a new connection
			c.notifyReconnects()
			failed = is != connectivity.Ready
		case is == connectivity.Ready && failed: // the first connection is not a reconnect
			c.notifyReconnects()
			failed = false
		case is == connectivity.TransientFailure:
			failed = true
		}
		if is == connectivity.Idle {
			conn.Connect()
		}
		was = is
		if !conn.WaitForStateChange(ctx, is) {
			return
		}
	}
}

func (c *connection) notifyReconnects() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, wake := range c.reconnects {
		notify(wake)
	}
}

// checkHealth sends health checks, which are cheap for etcd, to the members and closes connections that do not answer:
// calls on them would block until the lease has expired.
func (c *connection) checkHealth(ctx context.Context, conn *grpc.ClientConn) {
	next := time.NewTimer(jitter(checkInterval))
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			next.Reset(jitter(checkInterval))
		}
		var all sync.WaitGroup
		for range c.o.Endpoints { // gRPC calls the members round robin
			all.Go(func() { c.probe(ctx, healthpb.NewHealthClient(conn)) })
		}
		all.Wait()
	}
}

func (c *connection) probe(ctx context.Context, health healthpb.HealthClient) {
	short, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	var used peer.Peer
	_, err := health.Check(short, &healthpb.HealthCheckRequest{}, grpc.Peer(&used))
	if local, ok := used.LocalAddr.(memberAddr); ok && status.Code(err) == codes.DeadlineExceeded && local.conn.Close() == nil {
		c.log.Debug("connection closed: no answer to a health check", "member", used.Addr)
	}
}

// memberConn is a connection to a member. gRPC reports only the addresses of the connection that a call used, so the local
// address refers to the connection.
type memberConn struct{ net.Conn }

type memberAddr struct {
	net.Addr
	conn net.Conn
}

func (c memberConn) LocalAddr() net.Addr { return memberAddr{c.Conn.LocalAddr(), c.Conn} }

// dialMember connects to a member, without HTTP proxies.
func dialMember(ctx context.Context, address string) (net.Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", strings.TrimPrefix(path, "//")
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return memberConn{conn}, nil
}

// debugCore logs the client's messages, one for every attempt of every call, at debug level.
type debugCore struct{ log *slog.Logger }

func (c debugCore) Enabled(zapcore.Level) bool {
	return c.log.Enabled(context.Background(), slog.LevelDebug)
}

func (c debugCore) With(fields []zapcore.Field) zapcore.Core {
	return debugCore{c.log.With(attributes(fields)...)}
}

func (c debugCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(e.Level) {
		return checked
	}
	return checked.AddCore(e, c)
}

func (c debugCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.log.Debug("etcd client: "+e.Message, attributes(fields)...)
	return nil
}

func (debugCore) Sync() error { return nil }

func attributes(fields []zapcore.Field) []any {
	encoded := zapcore.NewMapObjectEncoder()
	list := make([]any, 0, len(fields))
	for _, f := range fields {
		f.AddTo(encoded)
	}
	for name, value := range encoded.Fields {
		list = append(list, slog.Any(name, value))
	}
	return list
}
