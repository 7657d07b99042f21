// Command benchmark measures easymicro against its peers and against what the sockets allow. The README says what, and how.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/easymicro/easymicro/samples/benchmark/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1)
	}
}

// run measures and writes the tables to out and to files.
func run(ctx context.Context, args []string, out, progress io.Writer) error {
	o, dir, err := parse(args, progress)
	if err != nil {
		return err
	}
	report, err := rig.Run(ctx, o)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // results are for everyone
		return err
	}
	for name, write := range map[string]func(io.Writer) error{
		"results.json": report.WriteJSON, "results.txt": report.WriteText, "results.svg": report.WriteSVG,
	} {
		var text bytes.Buffer
		if err := write(&text); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text.Bytes(), 0o644); err != nil { //nolint:gosec // results are for everyone
			return err
		}
	}
	return report.WriteText(out)
}

// Times of a full and of a quick run on two cores.
const (
	fullRepeat, quickRepeat     = 5, 3
	fullWarmup, quickWarmup     = time.Second, 300 * time.Millisecond
	fullDuration, quickDuration = 3 * time.Second, 700 * time.Millisecond
	fullLimit, quickLimit       = 58 * time.Minute, 9*time.Minute + 30*time.Second
	untilIdle                   = 11 * time.Second // a host releases what a connection keeps warm after 10 s
)

// parse returns the options and the directory of the results.
func parse(args []string, progress io.Writer) (o rig.Options, dir string, err error) {
	o = rig.Options{Idle: untilIdle, Log: progress}
	var noise float64
	list := func(into *[]string) func(string) error {
		return func(text string) error {
			*into = append(*into, strings.Split(text, ",")...)
			return nil
		}
	}
	flags := flag.NewFlagSet("benchmark", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.BoolVar(&o.Quick, "quick", false, "finish in 10 minutes instead of 60")
	flags.Func("scenario", "run only these `scenarios`, separated by commas", list(&o.Scenarios))
	flags.Func("contestant", "run only these `contestants`, separated by commas; * matches any text", list(&o.Contestants))
	flags.Func("add", "add the contestants of a `program`, PATH or PREFIX=PATH; repeatable", list(&o.Add))
	flags.StringVar(&o.Reference, "reference", "grpc-go", "`contestant` that others are compared with")
	flags.IntVar(&o.Repeat, "repeat", 0, "`repetitions` of each measurement (default 5, quick 3)")
	flags.DurationVar(&o.Warmup, "warmup", 0, "`time` before each measurement (default 1s, quick 300ms)")
	flags.DurationVar(&o.Duration, "duration", 0, "`time` of each measurement (default 3s, quick 700ms)")
	flags.Float64Var(&o.Rate, "rate", 0, "`calls` a second of open loops (default: a share of the capacity)")
	flags.DurationVar(&o.Limit, "limit", 0, "`time` of the run, near which disturbed repetitions are kept (default 58m, quick 9m30s)")
	flags.Float64Var(&noise, "noise", 5, "`percent` of the machine that other processes may take")
	flags.StringVar(&o.Profiles, "profile", "", "`directory` for profiles of the CPU, of the last repetition of each measurement")
	flags.StringVar(&dir, "out", "results", "`directory` of the results")
	if err := flags.Parse(args); err != nil {
		return o, "", err
	}
	if flags.NArg() > 0 {
		return o, "", fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.Profiles != "" {
		if o.Profiles, err = filepath.Abs(o.Profiles); err != nil {
			return o, "", err
		}
		if err := os.MkdirAll(o.Profiles, 0o755); err != nil { //nolint:gosec // results are for everyone
			return o, "", err
		}
	}
	o.Noise = noise / 100
	o.Repeat = cmp.Or(o.Repeat, pick(o.Quick, quickRepeat, fullRepeat))
	o.Warmup = cmp.Or(o.Warmup, pick(o.Quick, quickWarmup, fullWarmup))
	o.Duration = cmp.Or(o.Duration, pick(o.Quick, quickDuration, fullDuration))
	o.Limit = cmp.Or(o.Limit, pick(o.Quick, quickLimit, fullLimit))
	return o, dir, nil
}

func pick[T any](quick bool, one, other T) T {
	if quick {
		return one
	}
	return other
}
