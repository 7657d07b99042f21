package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

func (c *call) overRPCX(ctx context.Context) error {
	types, err := c.app.convert(ctx, c)
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
	w, err := c.way(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	var res wire.Frame
	begin := time.Now()
	err = w.send(ctx, req, &res)
	c.tell(outcome{address: w.address, took: time.Since(begin), err: err, metadata: res.Metadata, bytes: len(res.Payload)})
	if err != nil {
		return c.failed(w.address, err)
	}
	out, err := types.decode(res.Payload)
	if err != nil {
		return fmt.Errorf("the answer is no %s of its type: %w", c.codec, err)
	}
	return c.show(out)
}

// way is how a call gets to a service.
type way struct {
	address string // where it went, once it was sent
	send    func(ctx context.Context, req, res *wire.Frame) error
	close   func()
}

// way is a connection to the address, or to whom etcd knows.
func (c *call) way(ctx context.Context) (*way, error) {
	if c.etcd != nil {
		return c.throughEtcd(ctx)
	}
	network, address, err := c.target("rpcx")
	if err != nil {
		return nil, err
	}
	conn, err := wire.Dial(ctx, network, address, wire.ConnOptions{AcceptCompression: c.accepts()})
	if err != nil {
		return nil, unreachable(address, err)
	}
	if c.compression == wire.Zstd { // it is sent to peers only that have shown that they know it
		if err := conn.Ping(ctx); err != nil {
			_ = conn.Close()
			return nil, noAnswer(address, err.Error())
		}
		if !conn.Takes(wire.Zstd) {
			c.app.note("note: %s has not said that it takes zstd: the argument goes as gzip", address)
		}
	}
	return &way{address: address, send: conn.Do, close: func() { _ = conn.Close() }}, nil
}

func (c *call) accepts() []wire.Compression {
	if c.compression == wire.Zstd {
		return []wire.Compression{wire.Zstd}
	}
	return nil
}

// show prints an answer: JSON with a line's end, raw bytes as they are.
func (c *call) show(out []byte) error {
	if c.codec != wire.Raw && len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	_, err := c.app.io.Out.Write(out)
	return err
}

func unreachable(address string, err error) error {
	return &exitError{code: ExitUnreachable, err: fmt.Errorf("nobody answers at %s: %w", address, err)}
}

// noAnswer is the error of a connection that was made and broke.
func noAnswer(address, why string) error {
	return &exitError{code: ExitUnreachable, err: fmt.Errorf("no answer from %s: %s", address, why)}
}

// failed gives what the service, or the way to it, said its exit code. A service that says nothing until the deadline
// passes and one that says so itself are the same to who called.
func (c *call) failed(address string, err error) error {
	var e *code.Error
	switch {
	case !errors.As(err, &e):
		return noAnswer(address, err.Error())
	case e.Host == "" && (e.Reason == code.ReasonConnectionLost || e.Reason == code.ReasonNoEndpoint):
		return noAnswer(address, e.Message)
	case errors.Is(err, context.DeadlineExceeded): // of our own clock: what a peer says carries no cause
		e = code.Errorf(code.DeadlineExceeded, "no answer from %s within %s", address, c.timeout).WithReason(code.ReasonTimeout)
	}
	return &exitError{code: ExitAnswered, err: e}
}

// throughEtcd is the way to one of the hosts that etcd knows for the service.
func (c *call) throughEtcd(ctx context.Context) (*way, error) {
	cluster, err := c.etcd.open(ctx)
	if err != nil {
		return nil, err
	}
	names, lacking := servicesIn(ctx, cluster)
	service, err := pickName(names, c.service)
	if err != nil {
		_ = cluster.Close()
		if lacking != nil {
			return nil, c.etcd.away(lacking, etcdPatience)
		}
		return nil, err
	}
	w := &way{address: "the endpoints of " + service}
	calls, err := client.New(client.Options{
		Resolver: cluster, OnAttempt: func(_ context.Context, endpoint string, _ error) { w.address = endpoint },
	})
	if err != nil {
		_ = cluster.Close()
		return nil, err
	}
	w.send = func(ctx context.Context, req, res *wire.Frame) error {
		req.Service = service
		return calls.Handle(ctx, req, res)
	}
	w.close = func() {
		_ = calls.Close()
		_ = cluster.Close()
	}
	return w, nil
}

// firstOrEtcd completes the first argument by what the running host says, or by the services that etcd knows; of a
// method, up to its name.
func (a *app) firstOrEtcd(f *etcdFlags, method bool, names namer) completer {
	fromHost := a.first(names)
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if given, err := f.given(cmd); err != nil || !given || len(args) > 0 {
			return fromHost(cmd, args, word)
		}
		const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		cluster, err := f.open(ctx)
		if err != nil {
			return nil, directive
		}
		defer cluster.Close()
		services, _ := servicesIn(ctx, cluster)
		for i := range services {
			if method {
				services[i] += separator(word)
			}
		}
		return services, directive
	}
}
