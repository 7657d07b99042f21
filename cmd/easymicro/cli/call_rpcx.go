package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
)

// rpcxCall makes the call over rpcx.
type rpcxCall struct{ *request }

func (c *rpcxCall) run(ctx context.Context) error {
	types, err := newConverter(ctx, c.request)
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
	if c.resolver != nil {
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
		return fmt.Errorf("cannot decode the reply as %s: %w", c.codec, err)
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
	network, address, err := c.target("rpcx")
	if err != nil {
		return nil, err
	}
	var accept []wire.Compression
	if c.compression == wire.Zstd {
		accept = []wire.Compression{wire.Zstd}
	}
	nc, err := dialTLS(ctx, network, address, c.tls)
	if err != nil {
		return nil, unreachable(address, err)
	}
	conn := wire.NewConn(nc, wire.ConnOptions{AcceptCompression: accept})
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
	cluster, err := c.resolver.open(ctx)
	if err != nil {
		return nil, err
	}
	names, listErr := servicesIn(ctx, cluster)
	service, err := pickName(names, c.service)
	if err != nil {
		_ = cluster.Close()
		if listErr != nil {
			return nil, c.resolver.unreachable(listErr, etcdTimeout)
		}
		return nil, err
	}
	r := &route{address: "the endpoints of " + service}
	calls, err := client.New(client.Options{
		Resolver: cluster, TLS: c.tls, OnAttempt: func(_ context.Context, endpoint string, _ error) { r.address = endpoint },
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

// converter converts the JSON of a command line to a payload, and a payload to JSON.
type converter struct {
	codec  wire.Codec
	method *registry.Method // nil if its types are not in this binary
}

// newConverter looks up the types of the method in this binary. The manifest, or else the running host, names the handler
// of the service.
func newConverter(ctx context.Context, call *request) (*converter, error) {
	c := &converter{codec: call.codec}
	if c.codec == wire.JSON || c.codec == wire.Raw {
		return c, nil
	}
	if entry, ok := call.registry.Lookup(handlerOf(ctx, call.app, call.service)); ok {
		if i := slices.IndexFunc(entry.Methods, func(m *registry.Method) bool { return strings.EqualFold(m.Name, call.method) }); i >= 0 {
			c.method = entry.Methods[i]
		}
	}
	switch {
	case c.method != nil:
	case c.codec != wire.Msgpack:
		return nil, failed("the types of %s.%s are unknown here, so the argument cannot be encoded as %s: "+
			"name the manifest of the service with -c, or use --codec json", call.service, call.method, c.codec)
	default:
		call.note("note: the types of %s.%s are unknown here: field names are sent as given", call.service, call.method)
	}
	return c, nil
}

// handlerOf returns the handler of a service, from the manifest or else from the running host.
func handlerOf(ctx context.Context, a *app, service string) string {
	if m, err := readManifest(a); err == nil && m != nil {
		if s := m.service(service); s != nil {
			return s.Handler
		}
	}
	c, err := newHostClient(a)
	if err != nil {
		return ""
	}
	services, err := c.Services(ctx)
	if err != nil {
		return ""
	}
	for i := range services {
		if slices.ContainsFunc(namesOf(&services[i]), func(name string) bool { return strings.EqualFold(name, service) }) {
			return services[i].Handler
		}
	}
	return ""
}

func (c *converter) encode(body []byte) ([]byte, error) {
	if c.codec == wire.Raw || c.codec == wire.JSON {
		return body, nil
	}
	value := c.value(func(m *registry.Method) any { return m.NewArgs() })
	if err := unbounded().DecodeHTTP(body, value); err != nil {
		return nil, err
	}
	if c.method == nil {
		untyped, err := withIntegers(body)
		if err != nil {
			return nil, err
		}
		value = untyped
	}
	payload, err := wire.Append(c.codec, nil, value)
	if err != nil {
		return nil, fmt.Errorf("as %s: %w", c.codec, err)
	}
	return payload, nil
}

func (c *converter) decode(payload []byte) ([]byte, error) {
	if c.codec == wire.Raw || c.codec == wire.JSON {
		return payload, nil
	}
	value := c.value(func(m *registry.Method) any { return m.NewReply() })
	if err := unbounded().Decode(c.codec, payload, value); err != nil {
		return nil, err
	}
	return wire.AppendHTTP(nil, value)
}

// unbounded has no size limit: payloads and replies are the user's own.
func unbounded() *wire.Decoding { return &wire.Decoding{MaxBytes: -1} }

// value returns a pointer to decode into: to the method's type, or to any if it is unknown.
func (c *converter) value(of func(*registry.Method) any) any {
	if c.method == nil {
		return new(any)
	}
	return of(c.method)
}

// withIntegers decodes valid JSON into any. Numbers without a fraction become integers, since other codecs distinguish them
// from floats.
func withIntegers(body []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return integersIn(v)
}

func integersIn(v any) (_ any, err error) {
	switch v := v.(type) {
	case json.Number:
		return numberOf(v.String())
	case []any:
		for i := range v {
			if v[i], err = integersIn(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for name := range v {
			if v[name], err = integersIn(v[name]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// numberOf returns an integer for a number without a fraction, even one with an exponent: 1e3 is 1000.
func numberOf(text string) (any, error) {
	if strings.Contains(text, ".") {
		return strconv.ParseFloat(text, 64)
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, nil
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, err
	}
	if !strings.ContainsAny(text, "eE") {
		return nil, fmt.Errorf("%s does not fit into 64 bits: write %s.0 to send it as a float", text, text)
	}
	if whole, accuracy := big.NewFloat(f).Int(nil); accuracy == big.Exact {
		switch {
		case whole.IsInt64():
			return whole.Int64(), nil
		case whole.IsUint64():
			return whole.Uint64(), nil
		}
	}
	return f, nil
}
