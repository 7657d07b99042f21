package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config/files"
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
	etcd            *etcdFlags // nil: the address is given, or the manifest's
	timeout         time.Duration
	verbose         bool
}

type callFlags struct {
	address, codec, compress, tokenFile string
	meta                                []string
	timeout                             time.Duration
	http, verbose                       bool
	etcd                                etcdFlags
}

func (a *app) call() *cobra.Command {
	var f callFlags
	cmd := &cobra.Command{
		Use:   "call SERVICE.METHOD [JSON | @FILE | -]",
		Short: "Call a method over rpcx, or over HTTP",
		Long: `call makes one call and prints the answer as JSON. The argument is JSON whatever the codec (default: {}), in the command
line, in a file, or on standard input; for msgpack, protobuf and thrift it is converted by the types of the handlers in this
binary. With --codec raw argument and answer are bytes, and are left as they are.

With --etcd it calls one of the hosts that serve the service, as etcd knows them.

It exits with 5 when the service answers with an error or not in time, and with 4 when nobody answers.`,
		Example: `  easymicro call Arith.Mul '{"a":73,"b":1500}'
  easymicro call Arith.Mul @args.json --codec msgpack -v
  echo '{"a":1,"b":2}' | easymicro call Arith.Mul - --address 10.0.0.7:8972 --meta tenant=blue --timeout 2s
  easymicro call Arith.Mul '{"a":1,"b":2}' --etcd http://127.0.0.1:2379`,
		Args:              argRange(1, 2, "SERVICE.METHOD and at most one argument of it"),
		ValidArgsFunction: a.firstOrEtcd(&f.etcd, true, methodWords),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.newCall(cmd.Context(), args, &f)
			if err != nil {
				return err
			}
			if err := c.setEtcd(cmd, &f); err != nil {
				return err
			}
			ctx := cmd.Context()
			if f.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, f.timeout)
				defer cancel()
			}
			if f.http {
				return c.overHTTP(ctx)
			}
			return c.overRPCX(ctx)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.address, "address", "", "`ADDRESS` to call (default: the manifest's first listener, else 127.0.0.1:8972)")
	flags.StringVar(&f.codec, "codec", "json", "raw, json, protobuf, msgpack or thrift: the `CODEC` on the wire")
	flags.StringVar(&f.compress, "compress", "none", "none, gzip or zstd: the `COMPRESSION` on the wire")
	flags.StringArrayVar(&f.meta, "meta", nil, "metadata as `KEY=VALUE`; may be repeated")
	flags.DurationVar(&f.timeout, "timeout", 10*time.Second, "`TIME` to wait, which the service is told; 0 for ever")
	flags.StringVar(&f.tokenFile, "token-file", "", "`FILE` with the token that says who calls")
	flags.BoolVar(&f.http, "http", false, "call over HTTP instead of rpcx")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "show code, reason, rule and metadata on stderr")
	f.etcd.add(cmd, "`URL` of the etcd that knows who serves the service, in place of --address; several with commas")
	for name, complete := range map[string]completer{
		"address": cobra.NoFileCompletions, "meta": cobra.NoFileCompletions, "timeout": fixed("100ms", "1s", "10s"),
		"codec": fixed("json", "msgpack", "protobuf", "thrift", "raw"), "compress": fixed("none", "gzip", "zstd"),
	} {
		_ = cmd.RegisterFlagCompletionFunc(name, complete)
	}
	return cmd
}

func (a *app) newCall(ctx context.Context, args []string, f *callFlags) (*call, error) {
	c := &call{app: a, address: f.address, timeout: f.timeout, verbose: f.verbose}
	var err error
	if c.service, c.method, err = methodArg(args[0]); err != nil {
		return nil, err
	}
	if f.timeout < 0 {
		return nil, usageError("--timeout %s is negative", f.timeout)
	}
	var ok bool
	if c.codec, ok = wire.ParseCodec(f.codec); !ok {
		names := []string{"raw", "json", "protobuf", "msgpack", "thrift"}
		return nil, usageError("--codec %q is not one of %s%s", f.codec, strings.Join(names, ", "), didYouMean(f.codec, names))
	}
	if c.compression, ok = wire.ParseCompression(f.compress); !ok {
		return nil, usageError("--compress %q is not one of none, gzip, zstd", f.compress)
	}
	if f.http && (c.codec != wire.JSON || c.compression != wire.NoCompression) {
		return nil, usageError("--http speaks JSON without compression: leave --codec and --compress out")
	}
	if err := c.setMetadata(ctx, f); err != nil {
		return nil, err
	}
	if c.body, err = a.callBody(ctx, args[1:]); err != nil {
		return nil, err
	}
	return c, checkJSON(c.codec, c.body)
}

// setEtcd has etcd say where to call.
func (c *call) setEtcd(cmd *cobra.Command, f *callFlags) error {
	given, err := f.etcd.given(cmd)
	if err != nil || !given {
		return err
	}
	if f.address != "" {
		return usageError("--address and --etcd both say where to call: leave one of them out")
	}
	if f.http {
		return usageError("--http calls an address, and etcd knows those for rpcx: leave --http out, or say --address")
	}
	c.etcd = &f.etcd
	return nil
}

func (c *call) setMetadata(ctx context.Context, f *callFlags) error {
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
	token, err := secret(ctx, "--token-file", f.tokenFile)
	if err != nil {
		return err
	}
	c.metadata.Set(wire.MetaAuth, "Bearer "+token)
	return nil
}

// callBody is the argument: given, in a file, from standard input, or the empty object.
func (a *app) callBody(ctx context.Context, args []string) ([]byte, error) {
	switch {
	case len(args) == 0:
		return []byte("{}"), nil
	case args[0] == "-":
		body, err := files.ReadInput(ctx, "standard input", a.io.In, maxArgument)
		return body, argumentError("standard input", err)
	case strings.HasPrefix(args[0], "@"):
		body, err := files.ReadStream(ctx, args[0][1:], maxArgument)
		return body, argumentError(args[0][1:], err)
	}
	return []byte(args[0]), nil
}

// maxArgument bounds an argument that is read.
const maxArgument = 64 << 20

func argumentError(from string, err error) error {
	if err == nil {
		return nil
	}
	return failed("the argument: %s %s", from, files.Reason(err))
}

// outcome is what -v tells of a call.
type outcome struct {
	address  string
	took     time.Duration
	err      error
	metadata wire.Metadata
	status   string        // over HTTP
	headers  wire.Metadata // over HTTP
	bytes    int
}

// ofErrors are the keys of metadata in which an error travels.
var ofErrors = []string{
	wire.MetaError, wire.MetaErrorEasymicro, wire.MetaCode, wire.MetaReason, wire.MetaRule, wire.MetaRetryAfter, wire.MetaHost, wire.MetaPublic,
}

// tell shows, beside the answer, how the call went.
func (c *call) tell(o outcome) {
	if !c.verbose {
		return
	}
	a := c.app
	a.note("%s.%s at %s, %s", c.service, c.method, o.address, o.took.Round(time.Microsecond))
	if o.status != "" {
		a.note("status    %s", o.status)
	}
	var e *code.Error
	switch {
	case errors.As(o.err, &e):
		a.note("code      %s", e.Code)
	case o.err != nil:
		a.note("error     %s", o.err)
	default:
		a.note("code      %s", code.OK)
		a.note("bytes     %d", o.bytes)
	}
	if e != nil {
		retry := ""
		if e.RetryAfter > 0 {
			retry = e.RetryAfter.String()
		}
		for _, fact := range [][2]string{{"reason", e.Reason}, {"rule", e.Rule}, {"host", e.Host}, {"retry in", retry}} {
			if fact[1] != "" {
				a.note("%-8s  %s", fact[0], fact[1])
			}
		}
	}
	for _, pair := range o.metadata {
		if o.err != nil && slices.Contains(ofErrors, pair[0]) {
			continue
		}
		a.note("metadata  %s", oneLine(fmt.Sprintf("%s: %s", pair[0], pair[1])))
	}
	for _, pair := range o.headers {
		a.note("header    %s", oneLine(fmt.Sprintf("%s: %s", pair[0], pair[1])))
	}
}
