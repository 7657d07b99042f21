// Command etcd runs an etcd of one member for the samples, and for whoever has none at hand. It is no etcd for production:
// it does not wait for the disk.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "etcd:", err)
		os.Exit(1)
	}
}

// run runs an etcd until ctx ends.
func run(ctx context.Context, args []string, out, help io.Writer) error {
	flags := flag.NewFlagSet("etcd", flag.ContinueOnError)
	flags.SetOutput(help)
	listen := flags.String("listen", "127.0.0.1:2379", "`host:port` to serve at")
	data := flags.String("data", "", "`folder` to keep what is stored (default: a temporary one that is removed at the end)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("what is %q? there are only flags: -listen and -data", flags.Arg(0))
	}
	if *data == "" {
		dir, err := os.MkdirTemp("", "easymicro-etcd-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		*data = dir
	}
	cfg, err := config(ctx, *listen, *data)
	if err != nil {
		return err
	}
	return serve(ctx, cfg, out)
}

const patience = 30 * time.Second

func serve(ctx context.Context, cfg *embed.Config, out io.Writer) error {
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	defer e.Close()
	select {
	case <-e.Server.ReadyNotify():
	case err := <-e.Err():
		return err
	case <-time.After(patience):
		return errors.New("it did not get ready")
	case <-ctx.Done():
		return nil
	}
	fmt.Fprintf(out, "etcd   http://%s\n", e.Clients[0].Addr())
	fmt.Fprintln(out, "use    it as endpoint in discovery.etcd of a manifest, or with --etcd; Ctrl-C ends it")
	select {
	case <-ctx.Done():
		return nil
	case err := <-e.Err():
		return err
	}
}

// config is that of a member that is alone: nobody speaks to its peer address.
func config(ctx context.Context, listen, data string) (*embed.Config, error) {
	if _, _, err := net.SplitHostPort(listen); err != nil {
		return nil, fmt.Errorf("-listen %s: %w", listen, err)
	}
	var listening net.ListenConfig
	ln, err := listening.Listen(ctx, "tcp", listen) // etcd says less when the port is taken
	if err != nil {
		return nil, fmt.Errorf("-listen: %w: is there an etcd already? it may well be used instead", err)
	}
	listen = ln.Addr().String() // a port 0 has become a real one
	peer, err := listening.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	cfg := embed.NewConfig()
	cfg.Name = "sample"
	cfg.Dir = filepath.Join(data, "member")
	cfg.ListenClientUrls = []url.URL{{Scheme: "http", Host: listen}}
	cfg.AdvertiseClientUrls = cfg.ListenClientUrls
	cfg.ListenPeerUrls = []url.URL{{Scheme: "http", Host: peer.Addr().String()}}
	cfg.AdvertisePeerUrls = cfg.ListenPeerUrls
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	cfg.UnsafeNoFsync = true
	logs := zap.NewProductionConfig()
	logs.Level = zap.NewAtomicLevelAt(zapcore.FatalLevel) // what it says of its end is no error
	logger, err := logs.Build()
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(logger)
	return cfg, errors.Join(err, ln.Close(), peer.Close())
}
