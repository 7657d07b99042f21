package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// call is one call and how it is made.
type call struct {
	app             *app
	service, method string
	body            []byte
	codec           wire.Codec
	compression     wire.Compression
	metadata        wire.Metadata
	address         string
	http            bool
	verbose         bool
}

type callFlags struct {
	address, codec, compress, tokenFile string
	meta                                []string
	timeout                             time.Duration
	http, verbose                       bool
}

func (a *app) call() *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use:   "call SERVICE.METHOD [JSON | @FILE | -]",
		Short: "Call a method over rpcx, or over HTTP",
		Long: `call makes one call and prints the answer as JSON. The argument is JSON whatever the codec: for msgpack, protobuf and
thrift it is converted by the types of the handlers in this binary. With --codec raw it is sent as it stands.

It exits with 5 when the service answers with an error, and with 4 when nobody answers.`,
		Example: `  easymicro call Arith.Mul '{"a":73,"b":1500}'
  easymicro call Arith.Mul @args.json --codec msgpack -v
  echo '{"a":1,"b":2}' | easymicro call Arith.Mul - --address 10.0.0.7:8972 --meta tenant=blue --timeout 2s`,
		Args:              argRange(1, 2, "SERVICE.METHOD and the argument"),
		ValidArgsFunction: a.completeMethods,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.newCall(args, &f)
			if err != nil {
				return err
			}
			ctx := cmd.Context()
			if f.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, f.timeout)
				defer cancel()
			}
			if c.http {
				return c.overHTTP(ctx)
			}
			return c.overRPCX(ctx)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.address, "address", "", "where to call (default: the manifest's first listener, else 127.0.0.1:8972)")
	flags.StringVar(&f.codec, "codec", "json", "raw, json, protobuf, msgpack or thrift")
	flags.StringVar(&f.compress, "compress", "none", "none, gzip or zstd")
	flags.StringArrayVar(&f.meta, "meta", nil, "metadata as key=value; may be repeated")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Second, "how long to wait; the service is told. 0: for ever")
	flags.StringVar(&f.tokenFile, "token-file", "", "file with the token that says who calls")
	flags.BoolVar(&f.http, "http", false, "call over HTTP instead of rpcx")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show code, reason, rule and metadata on stderr")
	return cmd
}

func (a *app) newCall(args []string, f *callFlags) (*call, error) {
	c := &call{app: a, address: f.address, http: f.http, verbose: f.verbose}
	var err error
	if c.service, c.method, err = methodArg(args[0]); err != nil {
		return nil, err
	}
	var ok bool
	if c.codec, ok = wire.ParseCodec(f.codec); !ok {
		return nil, usageError("--codec %q is not one of raw, json, protobuf, msgpack, thrift", f.codec)
	}
	if c.compression, ok = wire.ParseCompression(f.compress); !ok {
		return nil, usageError("--compress %q is not one of none, gzip, zstd", f.compress)
	}
	if c.http && (c.codec != wire.JSON || c.compression != wire.NoCompression) {
		return nil, usageError("--http speaks JSON without compression; leave --codec and --compress out")
	}
	if err := c.setMetadata(f); err != nil {
		return nil, err
	}
	c.body, err = a.callBody(args[1:])
	return c, err
}

func (c *call) setMetadata(f *callFlags) error {
	for _, pair := range f.meta {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return usageError("--meta %q is not key=value", pair)
		}
		c.metadata.Set(key, value)
	}
	if f.tokenFile == "" {
		return nil
	}
	token, err := os.ReadFile(f.tokenFile)
	if err != nil {
		return fmt.Errorf("--token-file: %w", err)
	}
	c.metadata.Set(wire.MetaAuth, "Bearer "+strings.TrimSpace(string(token)))
	return nil
}

// callBody is the argument: given, in a file, from standard input, or the empty object.
func (a *app) callBody(args []string) ([]byte, error) {
	switch {
	case len(args) == 0:
		return []byte("{}"), nil
	case args[0] == "-":
		return io.ReadAll(a.io.In)
	case strings.HasPrefix(args[0], "@"):
		body, err := os.ReadFile(args[0][1:])
		if err != nil {
			return nil, fmt.Errorf("the argument: %w", err)
		}
		return body, nil
	}
	return []byte(args[0]), nil
}

func (c *call) overRPCX(ctx context.Context) error {
	types, err := c.app.convert(c.service, c.method, c.codec)
	if err != nil {
		return err
	}
	payload, err := types.encode(c.body)
	if err != nil {
		return &exitError{ExitUsage, fmt.Errorf("the argument: %w", err)}
	}
	conn, err := c.dial(ctx)
	if err != nil {
		return &exitError{ExitUnreachable, err}
	}
	defer conn.Close()
	req := &wire.Frame{Service: c.service, Method: c.method, Codec: c.codec, Metadata: c.metadata, Payload: payload}
	if c.compression != wire.NoCompression {
		if req.Payload, err = wire.AppendCompressed(nil, c.compression, payload); err != nil {
			return err
		}
		req.Compression = c.compression
	}
	var res wire.Frame
	if err := conn.Do(ctx, req, &res); err != nil {
		return c.failed(err, res.Metadata)
	}
	c.showMetadata(res.Metadata)
	out, err := types.decode(res.Payload)
	if err != nil {
		return fmt.Errorf("the answer is no %s of its type: %w", c.codec, err)
	}
	return c.show(out)
}

func (c *call) dial(ctx context.Context) (*wire.Conn, error) {
	network, address, err := c.target()
	if err != nil {
		return nil, err
	}
	o := wire.ConnOptions{}
	if c.compression == wire.Zstd {
		o.AcceptCompression = []wire.Compression{wire.Zstd}
	}
	conn, err := wire.Dial(ctx, network, address, o)
	if err != nil {
		return nil, fmt.Errorf("nobody answers at %s: %w", address, err)
	}
	return conn, nil
}

// target is where to call: --address, else the first listener of the manifest, else the default of a manifest.
func (c *call) target() (network, address string, err error) {
	at := config.Address(c.address)
	if at == "" {
		at = "127.0.0.1:8972"
		if set, err := load.Load(c.app.manifest, load.Options{}); err == nil {
			at = set.Manifest.Listeners[0].Address
			if network, path, _ := at.Split(); network == "unix" {
				return network, set.Path(path), nil
			}
		}
	}
	network, address, err = at.Split()
	if err != nil {
		return "", "", usageError("--address: %w", err)
	}
	if host, port, err := net.SplitHostPort(address); err == nil && (host == "" || host == "0.0.0.0" || host == "::") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return network, address, nil
}

func (c *call) show(out []byte) error {
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	_, err := c.app.io.Out.Write(out)
	return err
}

func (c *call) showMetadata(m wire.Metadata) {
	if !c.verbose {
		return
	}
	for _, pair := range m {
		fmt.Fprintf(c.app.io.Err, "%s: %s\n", pair[0], pair[1])
	}
}

// failed tells what the service, or the way to it, said.
func (c *call) failed(err error, m wire.Metadata) error {
	c.showMetadata(m)
	var e *code.Error
	if !errors.As(err, &e) {
		return err
	}
	exit := ExitAnswered
	if e.Reason == code.ReasonConnectionLost || e.Reason == code.ReasonNoEndpoint {
		exit = ExitUnreachable
	}
	if c.app.output == outputJSON {
		if err := c.app.json(map[string]any{
			"code": e.Code.String(), "reason": e.Reason, "message": e.Message, "rule": e.Rule, "host": e.Host,
			"retry_after_ms": e.RetryAfter.Milliseconds(),
		}); err != nil {
			return err
		}
		return &exitError{code: exit}
	}
	text := e.Message
	if !strings.HasPrefix(text, e.Code.String()) {
		text = e.Code.String() + ": " + text
	}
	return &exitError{exit, errors.New(text)}
}
