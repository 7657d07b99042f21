package cli

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/wire"
)

// callCommand makes one call.
type callCommand struct {
	request
	codecName, compressionName, tokenFile string
	meta                                  []string
	http                                  bool
	etcd                                  etcdFlags
	tlsFlags                              tlsFlags
}

func newCall(a *app) *cobra.Command {
	c := &callCommand{request: request{app: a}}
	cmd := &cobra.Command{
		Use:   "call SERVICE.METHOD [JSON | @FILE | -]",
		Short: "Call a method over rpcx or HTTP",
		Long: `call makes one call and prints the reply as JSON. The argument is JSON for every codec (default: {}): on the command line,
in a file, or on standard input. For msgpack, protobuf and thrift it is converted with the types of the handlers in this
binary. With --codec raw, argument and reply are bytes and are not converted.

With --etcd it calls one of the endpoints of the service in etcd.

It exits with 5 if the service answers with an error or misses the deadline, and with 4 if it cannot be reached.`,
		Example: `  easymicro call Arith.Mul '{"a":73,"b":1500}'
  easymicro call Arith.Mul @args.json --codec msgpack -v
  echo '{"a":1,"b":2}' | easymicro call Arith.Mul - --address 10.0.0.7:8972 --meta tenant=blue --timeout 2s
  easymicro call Arith.Mul '{"a":1,"b":2}' --etcd http://127.0.0.1:2379
  easymicro call Arith.Mul '{"a":1,"b":2}' --address orders.example:8972 --ca ca.pem --cert me.pem --key me.key`,
		Args:              argRange(1, 2, "SERVICE.METHOD, and optionally one JSON argument"),
		ValidArgsFunction: firstArgumentOrEtcd(a, &c.etcd, true, methodWords),
		RunE:              c.run,
	}
	flags := cmd.Flags()
	flags.StringVar(&c.address, "address", "", "`ADDRESS` to call (default: the first listener of the manifest, else "+string(defaultListen)+")")
	flags.StringVar(&c.codecName, "codec", "json", "`CODEC` on the wire: raw, json, protobuf, msgpack or thrift")
	flags.StringVar(&c.compressionName, "compress", "none", "`COMPRESSION` on the wire: none, gzip or zstd")
	flags.StringArrayVar(&c.meta, "meta", nil, "metadata as `KEY=VALUE`; repeatable")
	flags.DurationVar(&c.timeout, "timeout", 10*time.Second, "deadline as a `DURATION`, also sent to the service; 0 = none")
	flags.StringVar(&c.tokenFile, "token-file", "", "`FILE` with the bearer token of the caller")
	flags.BoolVar(&c.http, "http", false, "call over HTTP instead of rpcx")
	flags.BoolVarP(&c.verbose, "verbose", "v", false, "print code, reason, rule and metadata on stderr")
	c.tlsFlags.add(cmd)
	c.etcd.add(cmd, "find the service in etcd instead of --address: comma-separated `URL`s of its servers")
	for name, complete := range map[string]completer{
		"address": cobra.NoFileCompletions, "meta": cobra.NoFileCompletions, "timeout": fixed("100ms", "1s", "10s"),
		"codec": fixed("json", "msgpack", "protobuf", "thrift", "raw"), "compress": fixed("none", "gzip", "zstd"),
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, complete)
	}
	return cmd
}

func (c *callCommand) run(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	if err := c.parse(ctx, args); err != nil {
		return err
	}
	if err := c.parseEtcd(cmd); err != nil {
		return err
	}
	var err error
	if c.tls, err = c.tlsFlags.config(ctx); err != nil {
		return err
	}
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	if c.http {
		return (&httpCall{&c.request}).run(ctx)
	}
	return (&rpcxCall{&c.request}).run(ctx)
}

// parse fills in the request from the arguments and flags.
func (c *callCommand) parse(ctx context.Context, args []string) (err error) {
	if c.service, c.method, err = methodArg(args[0]); err != nil {
		return err
	}
	if c.timeout < 0 {
		return usageError("--timeout %s is negative", c.timeout)
	}
	var ok bool
	if c.codec, ok = wire.ParseCodec(c.codecName); !ok {
		names := []string{"raw", "json", "protobuf", "msgpack", "thrift"}
		return usageError("--codec %q is not one of %s%s", c.codecName, strings.Join(names, ", "), didYouMean(c.codecName, names))
	}
	if c.compression, ok = wire.ParseCompression(c.compressionName); !ok {
		return usageError("--compress %q is not one of none, gzip, zstd", c.compressionName)
	}
	if c.http && (c.codec != wire.JSON || c.compression != wire.NoCompression) {
		return usageError("--http uses JSON without compression: remove --codec and --compress")
	}
	if err := c.parseMetadata(ctx); err != nil {
		return err
	}
	if c.body, err = c.readBody(ctx, args[1:]); err != nil || c.codec == wire.Raw {
		return err
	}
	if err := json.Unmarshal(c.body, new(any)); err != nil {
		return usageError("the argument is not JSON: %w (quote it for the shell: '{\"a\":1}')", err)
	}
	return nil
}

func (c *callCommand) parseMetadata(ctx context.Context) error {
	for _, pair := range c.meta {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return usageError("--meta %q is not KEY=VALUE", pair)
		}
		c.metadata.Set(key, value)
	}
	token, err := readSecret(ctx, "--token-file", c.tokenFile)
	if err != nil {
		return err
	}
	if token != "" {
		c.metadata.Set(wire.MetaAuth, "Bearer "+token)
	}
	return nil
}

func (c *callCommand) parseEtcd(cmd *cobra.Command) error {
	if given, err := c.etcd.given(cmd); err != nil || !given {
		return err
	}
	if c.address != "" {
		return usageError("--address and --etcd cannot be used together")
	}
	if c.http {
		return usageError("--http needs an address, and etcd has addresses for rpcx only: remove --http, or use --address")
	}
	c.resolver = &c.etcd
	return nil
}

// readBody returns the argument: as given, from a file, from standard input, or the empty object.
func (c *callCommand) readBody(ctx context.Context, args []string) (body []byte, err error) {
	const maxBytes = 64 << 20
	if len(args) == 0 {
		return []byte("{}"), nil
	}
	from, isFile := strings.CutPrefix(args[0], "@")
	switch {
	case args[0] == "-":
		from = "standard input"
		body, err = files.ReadInput(ctx, from, c.in, maxBytes)
	case isFile:
		body, err = files.ReadStream(ctx, from, maxBytes)
	default:
		return []byte(args[0]), nil
	}
	if err != nil {
		return nil, failed("the argument: %s %s", from, files.Reason(err))
	}
	return body, nil
}
