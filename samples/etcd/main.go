// Command etcd runs a single-member etcd for the samples. It is not meant for production: it does not sync to disk.
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
	listen := flags.String("listen", "127.0.0.1:2379", "`host:port` to serve on")
	data := flags.String("data", "", "`directory` for the data (default: a temporary one, removed at the end)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: there are only the flags -listen and -data", flags.Arg(0))
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

const startTimeout = 30 * time.Second

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
	case <-time.After(startTimeout):
		return fmt.Errorf("not ready after %v", startTimeout)
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

// config returns the configuration of a cluster of one: its peer address is not used.
func config(ctx context.Context, listen, data string) (*embed.Config, error) {
	if _, _, err := net.SplitHostPort(listen); err != nil {
		return nil, fmt.Errorf("-listen %s: %w", listen, err)
	}
	var listening net.ListenConfig
	ln, err := listening.Listen(ctx, "tcp", listen) // gives a better error than etcd if the port is taken
	if err != nil {
		return nil, fmt.Errorf("-listen: %w: if another etcd is running there, use that", err)
	}
	listen = ln.Addr().String() // with the port chosen for 0
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
	logs.Level = zap.NewAtomicLevelAt(zapcore.FatalLevel) // it logs errors when it is stopped
	logger, err := logs.Build()
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(logger)
	return cfg, errors.Join(err, ln.Close(), peer.Close())
}
