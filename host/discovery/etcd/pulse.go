package etcd

import (
	"context"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// A peer that fell silent is noticed within pulseEvery + pulseTimeout. gRPC's own keepalive is no faster than
// leastKeepalive, and etcd takes pings without calls for an attack: they are the second net.
const (
	pulseEvery     = 3 * time.Second // ± 10 %
	pulseTimeout   = 2 * time.Second
	leastKeepalive = 10 * time.Second
)

// pulse asks the members for their health, which costs them next to nothing, and breaks connections on which no answer
// comes: what waits on them would wait until the lease is over.
func (c *Cluster) pulse(ctx context.Context, cl *clientv3.Client) {
	health := healthpb.NewHealthClient(cl.ActiveConnection())
	next := time.NewTimer(about(pulseEvery))
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
			next.Reset(about(pulseEvery))
		}
		var all sync.WaitGroup
		for range c.o.Endpoints { // calls go to one member after the other
			all.Go(func() { c.feel(ctx, health) })
		}
		all.Wait()
	}
}

// feel asks one of the members.
func (c *Cluster) feel(ctx context.Context, health healthpb.HealthClient) {
	short, cancel := context.WithTimeout(ctx, pulseTimeout)
	defer cancel()
	var at peer.Peer
	_, err := health.Check(short, &healthpb.HealthCheckRequest{}, grpc.Peer(&at))
	if status.Code(err) == codes.DeadlineExceeded && at.LocalAddr != nil && c.lines.cut(at.LocalAddr.String()) {
		c.log.Debug("a connection was silent and is broken", "member", at.Addr)
	}
}

// lines are the open connections to the members, by their local addresses.
type lines struct {
	mu   sync.Mutex
	open map[string]net.Conn
}

// dial connects to a member, past all HTTP proxies.
func (l *lines) dial(ctx context.Context, address string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(path, "//"))
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for local, old := range l.open {
		if isGone(old) {
			delete(l.open, local)
		}
	}
	if l.open == nil {
		l.open = map[string]net.Conn{}
	}
	l.open[conn.LocalAddr().String()] = conn
	return conn, nil
}

// isGone tells that a connection was closed here.
func isGone(conn net.Conn) bool {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := c.SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}

// cut breaks the connection of a local address.
func (l *lines) cut(local string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	conn, ok := l.open[local]
	delete(l.open, local)
	return ok && conn.Close() == nil
}
