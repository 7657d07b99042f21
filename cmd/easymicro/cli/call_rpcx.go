package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
)

// rpcxCall makes the call over rpcx.
type rpcxCall struct{ *callCommand }

func (c *rpcxCall) run(ctx context.Context) error {
	types, err := newConverter(ctx, c.callCommand)
	if err != nil {
		return err
	}
	req := &wire.Frame{Service: c.service, Method: c.method, Codec: c.codec, Metadata: c.metadata}
	payload, err := types.encode(c.body)
	if err != nil {
		return usageError("the argument: %w", err)
	}
	if req.Payload = payload; c.compression != wire.NoCompression {
		if req.Payload, err = wire.AppendCompressed(nil, c.compression, payload); err != nil {
			return err
		}
		req.Compression = c.compression
	}
	connect := c.dial
	if c.viaEtcd {
		connect = c.resolve
	}
	r, err := connect(ctx)
	if err != nil {
		return err
	}
	defer r.close()
	var res wire.Frame
	begin := time.Now()
	err = r.send(ctx, req, &res)
	c.explain(outcome{address: r.address, took: time.Since(begin), err: err, metadata: res.Metadata, bytes: len(res.Payload)})
	if err != nil {
		return c.failed(r.address, err)
	}
	out, err := types.decode(res.Payload)
	if err != nil {
		return fmt.Errorf("the reply is not %s of its type: %w", c.codec, err)
	}
	return c.show(out)
}

// route sends a call to an endpoint.
type route struct {
	address string // of the endpoint; via etcd, known once the call was sent
	send    func(ctx context.Context, req, res *wire.Frame) error
	close   func()
}

// dial connects to an address.
func (c *rpcxCall) dial(ctx context.Context) (*route, error) {
	network, address, err := callAddress(c.app, c.address, "rpcx")
	if err != nil {
		return nil, err
	}
	var accept []wire.Compression
	if c.compression == wire.Zstd {
		accept = []wire.Compression{wire.Zstd}
	}
	conn, err := wire.Dial(ctx, network, address, wire.ConnOptions{AcceptCompression: accept})
	if err != nil {
		return nil, unreachable(address, err)
	}
	if c.compression == wire.Zstd { // only sent to peers that have advertised it
		if err := conn.Ping(ctx); err != nil {
			_ = conn.Close()
			return nil, noAnswer(address, err.Error())
		}
		if !conn.Takes(wire.Zstd) {
			c.note("note: %s does not advertise zstd: the argument is sent with gzip", address)
		}
	}
	return &route{address: address, send: conn.Do, close: func() { _ = conn.Close() }}, nil
}

// resolve finds the service in etcd.
func (c *rpcxCall) resolve(ctx context.Context) (*route, error) {
	cluster, err := c.etcd.open(ctx)
	if err != nil {
		return nil, err
	}
	names, listErr := servicesIn(ctx, cluster)
	service, err := pickName(names, c.service)
	if err != nil {
		_ = cluster.Close()
		if listErr != nil {
			return nil, c.etcd.unreachable(listErr, etcdTimeout)
		}
		return nil, err
	}
	r := &route{address: "the endpoints of " + service}
	calls, err := client.New(client.Options{
		Resolver: cluster, OnAttempt: func(_ context.Context, endpoint string, _ error) { r.address = endpoint },
	})
	if err != nil {
		_ = cluster.Close()
		return nil, err
	}
	r.send = func(ctx context.Context, req, res *wire.Frame) error {
		req.Service = service
		return calls.Handle(ctx, req, res)
	}
	r.close = func() {
		_ = calls.Close()
		_ = cluster.Close()
	}
	return r, nil
}
