// Command overload measures what rules make of more calls than a host can serve: how many are still answered in time, how soon the
// others are refused, and the memory. Host and client are processes of their own; the client is an open loop.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// The modes of the processes that the command starts. They are its first argument.
const (
	serveMode = "serve"
	loadMode  = "load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "overload:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	if len(args) > 0 && args[0] == serveMode {
		return serve(ctx, args[1:], os.Stdin, out)
	}
	if len(args) > 0 && args[0] == loadMode {
		return callMethod(ctx, args[1:], out)
	}
	o := options{warmup: 3 * time.Second, duration: 3 * time.Second, log: progress}
	var dir string
	var quick bool
	flags := flag.NewFlagSet("overload", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.BoolVar(&quick, "quick", false, "finish in a minute instead of 6")
	flags.StringVar(&o.only, "rule", "", "measure only this `rule`")
	flags.StringVar(&dir, "out", "results", "`directory` of the results")
	flags.DurationVar(&o.duration, "duration", o.duration, "`time` of each measurement")
	flags.DurationVar(&o.warmup, "warmup", o.warmup, "`time` before each measurement")
	if err := flags.Parse(args); err != nil {
		return err
	}
	o.loads = []float64{0.5, 1, 1.5, 2, 3}
	if quick {
		o.loads, o.warmup, o.duration = []float64{1, 2}, 1500*time.Millisecond, time.Second
	}
	r, err := measure(ctx, o)
	if err != nil {
		return err
	}
	return write(r, dir, out)
}

// write prints the tables, and writes them, the plot and every figure to files.
func write(r *report, dir string, out io.Writer) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // results are for everyone
		return err
	}
	figures, err := r.json()
	if err != nil {
		return err
	}
	text := r.text()
	for name, content := range map[string]string{"overload.json": figures, "overload.txt": text, "overload.svg": r.svg()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil { //nolint:gosec // results are for everyone
			return err
		}
	}
	_, err = io.WriteString(out, text)
	return err
}
