// Command collector receives spans over OTLP/HTTP and prints each trace as a tree. It is a demonstration: it stores
// nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"
)

// quiet is how long a trace must receive no spans before it is printed. Hosts send their spans every second.
const quiet = 2500 * time.Millisecond

const maxBody = 16 << 20

func main() {
	listen := flag.String("listen", "127.0.0.1:4318", "`host:port` to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *listen, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "collector:", err)
		os.Exit(1) //nolint:forbidigo // a command of its own
	}
}

// run collects spans until ctx ends.
func run(ctx context.Context, listen string, out io.Writer) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "receiving spans at http://%s\n", ln.Addr())
	traces := newForest(out, quiet)
	defer traces.close()
	srv := &http.Server{Handler: traces, ReadHeaderTimeout: time.Second}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
