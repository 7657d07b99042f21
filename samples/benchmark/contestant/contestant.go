// Package contestant makes a program out of one or more contestants that are written in Go: the modes of package contract, the
// closed and the open loop, the counters.
package contestant

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"syscall"

	"github.com/easymicro/easymicro/samples/benchmark/contract"
	"github.com/easymicro/easymicro/samples/benchmark/message"
)

// Contestant is a way to carry calls.
type Contestant struct {
	contract.Description

	// Serve serves on a free port of 127.0.0.1 until ctx ends.
	Serve func(ctx context.Context, s Site) error
	// Dial opens a connection.
	Dial func(ctx context.Context, address string) (Conn, error)
}

// Site is where a server runs.
type Site struct {
	Work  message.Work         // what a handler does before it answers
	Ready func(address string) // to be called once, when the server accepts connections
	// AddProcess adds a process whose counters are part of the server's.
	AddProcess func(*contract.Process)
}

// Conn is a connection. Its methods may be called concurrently.
type Conn interface {
	// Caller returns a function that makes one call and checks the reply. The function is not shared between goroutines.
	Caller() func() error
	Close() error
}

// Main runs the command line of a program with contestants, and exits.
func Main(contestants ...Contestant) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, contestants, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(ctx context.Context, contestants []Contestant, args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("want a mode: describe, server or client")
	}
	if args[0] != "describe" {
		stop, err := profile(args[0])
		if err != nil {
			return err
		}
		defer stop()
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	name := flags.String("contestant", "", "`name` of the contestant")
	p := &printer{json.NewEncoder(out)}
	switch args[0] {
	case "describe":
		return p.write(described(contestants))
	case "server":
		handler := flags.String("handler", "echo", "`work` of the handler: echo, spin:STEPS, sleep:DURATION or sleep:DURATION:ONE_IN")
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		c, err := find(contestants, *name)
		if err != nil {
			return err
		}
		return serve(ctx, c, *handler, in, p)
	case "client":
		l := load{out: p}
		l.addFlags(flags)
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		c, err := find(contestants, *name)
		if err != nil {
			return err
		}
		return l.run(ctx, c.Dial, in)
	default:
		return fmt.Errorf("mode %q: want describe, server or client", args[0])
	}
}

// profile profiles the CPU until stop, if the environment asks for it.
func profile(mode string) (stop func(), err error) {
	path := os.Getenv(contract.ProfileVariable)
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path + "." + mode + ".pprof") //nolint:gosec // where the rig says
	if err != nil {
		return nil, err
	}
	return pprof.StopCPUProfile, pprof.StartCPUProfile(f)
}

// described returns the contestants that take part in something.
func described(contestants []Contestant) []contract.Description {
	var all []contract.Description
	for _, c := range contestants {
		if len(c.Loads) > 0 {
			all = append(all, c.Description)
		}
	}
	return all
}

func find(contestants []Contestant, name string) (Contestant, error) {
	var names []string
	for _, c := range contestants {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return Contestant{}, fmt.Errorf("contestant %q: this program has %s", name, strings.Join(names, ", "))
}

// ModuleVersion returns the version of a module in this program, "" if it is not in it.
func ModuleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return ""
}

// printer prints values, one a line.
type printer struct{ *json.Encoder }

func (p *printer) write(value any) error { return p.Encode(value) }
