package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// health is how it stands with the connection.
type health struct {
	connected bool
	err       error
	since     time.Time
}

// call makes one call, with a deadline of its own: without one it would last as long as etcd is away.
func (c *Cluster) call(ctx context.Context, f func(context.Context, *clientv3.Client) error) error {
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

// connect is the client, which is made when it is needed first. Making it takes no etcd, unless there is a password:
// then it is a call too.
func (c *Cluster) connect(ctx context.Context) (*clientv3.Client, error) {
	select {
	case c.dialing <- struct{}{}:
		defer func() { <-c.dialing }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	cl, closed := c.client, c.closed
	c.mu.Unlock()
	if closed {
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
	if closed = c.closed; !closed {
		c.client = cl
	}
	c.mu.Unlock()
	if closed { // meanwhile
		_ = cl.Close()
		return nil, errClosed
	}
	c.spawn(func(ctx context.Context) { c.monitor(ctx, cl) })
	c.spawn(func(ctx context.Context) { c.pulse(ctx, cl) })
	return cl, nil
}

// dial makes a client that ctx ends only as long as it is being made.
func (c *Cluster) dial(ctx context.Context) (*clientv3.Client, error) {
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
		err = fmt.Errorf("no answer within %v to the user and the password", loginTimeout)
	}
	end()
	return nil, fmt.Errorf("connect to %s: %w", strings.Join(c.o.Endpoints, ", "), err)
}

// config has what the client would otherwise get wrong: it waits up to 120 s between two attempts to connect, does not
// notice a peer that fell silent, and writes to stderr.
func (c *Cluster) config() clientv3.Config {
	return clientv3.Config{
		Endpoints:            c.o.Endpoints,
		TLS:                  c.o.TLS,
		Username:             c.o.Username,
		Password:             c.o.Password,
		DialTimeout:          loginTimeout,
		DialKeepAliveTime:    leastKeepalive,
		DialKeepAliveTimeout: pulseTimeout, // the system breaks connections that are not acknowledged for as long
		Logger:               quietLogger(c.log),
		DialOptions: []grpc.DialOption{
			grpc.WithContextDialer(c.lines.dial),
			grpc.WithConnectParams(grpc.ConnectParams{
				Backoff:           backoff.Config{BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
				MinConnectTimeout: 2 * time.Second,
			}),
		},
	}
}

// explain puts the reason in place of "context deadline exceeded", which is all that the client says of an etcd that it
// cannot reach.
func (c *Cluster) explain(ctx context.Context, cl *clientv3.Client, err error) error {
	if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	probe, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	_, failed := healthpb.NewHealthClient(cl.ActiveConnection()).Check(probe, &healthpb.HealthCheckRequest{})
	if s, ok := status.FromError(failed); ok && s.Code() == codes.Unavailable {
		return fmt.Errorf("not reachable at %s: %s", strings.Join(c.o.Endpoints, ", "), hinted(s.Message()))
	}
	return fmt.Errorf("no answer from %s within %v: %w", strings.Join(c.o.Endpoints, ", "), callTimeout, err)
}

// monitor kicks when the connection is lost and when it is back: what stands behind the address now may be another
// cluster, where a watch from an old revision would wait in silence.
func (c *Cluster) monitor(ctx context.Context, cl *clientv3.Client) {
	conn := cl.ActiveConnection()
	was, failed := connectivity.Idle, false
	for {
		is := conn.GetState()
		switch {
		case was == connectivity.Ready: // even if it is again: another one
			c.kickAll()
			failed = is != connectivity.Ready
		case is == connectivity.Ready && failed: // the first one of all is no news
			c.kickAll()
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

func (c *Cluster) kickAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, kick := range c.kicks {
		poke(kick)
	}
}

// poke leaves a message in a channel of one place, unless there is one already.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// answered notes what came of a list, and says so in the log when that is news. It is connected when all layouts are
// known.
func (c *Cluster) answered() {
	known, err := c.table.state()
	if err == nil && !known {
		return // the other layout is not listed yet
	}
	c.mu.Lock()
	before := c.health
	up := err == nil
	if before.since.IsZero() || before.connected != up {
		c.health.since = time.Now()
	}
	c.health.connected, c.health.err = up, err
	c.mu.Unlock()
	switch {
	case !before.since.IsZero() && before.connected == up:
	case up:
		c.log.Info("connected to etcd")
	default:
		c.log.Warn("etcd is away: what is known stays in use", "error", err)
	}
}
