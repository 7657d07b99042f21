// Package cli is the commands of easymicro. A host with handlers of its own is cli.Main and the imports that register
// them.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/easymicro/easymicro/registry"
)

// Main runs the command line of the process and exits.
func Main() {
	os.Exit(Run(context.Background(), os.Args[1:], IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// IO is where a command reads and writes.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
}

// Exit codes.
const (
	ExitOK          = 0
	ExitFailed      = 1 // something went wrong
	ExitUsage       = 2 // flags or arguments are wrong
	ExitProblems    = 3 // problems were found in the files
	ExitUnreachable = 4 // the host cannot be reached
	ExitAnswered    = 5 // the host, or the called service, answered with an error
)

// exitError is an error with an exit code. One without text has been told already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{ExitUsage, fmt.Errorf(format, args...)}
}

// app is what the commands share.
type app struct {
	io       IO
	registry *registry.Registry
	manifest string
	admin    string
	output   string
	noColor  bool
}

// Run runs one command line and returns its exit code.
func Run(ctx context.Context, args []string, streams IO) int {
	a := &app{io: streams, registry: registry.Default()}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(streams.Err, "easymicro: "+text)
	}
	var exit *exitError
	if errors.As(err, &exit) {
		return exit.code
	}
	return ExitFailed
}

func (a *app) root() *cobra.Command {
	cobra.EnableTraverseRunHooks = true
	root := &cobra.Command{
		Use:   "easymicro",
		Short: "A service host: handlers in Go, everything else in YAML, edited while it runs",
		Long: `easymicro runs Go handlers as services, as a YAML manifest says: which of them, where they listen, with what limits,
breakers and timeouts. While it runs, edit the policy files and save: the host follows.`,
		Example: `  easymicro serve -c samples/quickstart/easymicro.yaml
  easymicro call Arith.Mul '{"a":73,"b":1500}'`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError("%w\nsee: %s --help", err, cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVarP(&a.manifest, "config", "c", "easymicro.yaml", "manifest of the host")
	flags.StringVar(&a.admin, "admin", "", "admin address of a running host (default: the manifest's, else 127.0.0.1:8970)")
	flags.StringVarP(&a.output, "output", "o", "text", "text or json")
	flags.BoolVar(&a.noColor, "no-color", false, "no colours")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return a.globals(cmd) }
	root.AddCommand(a.serve(), a.validate(), a.schema(), a.handlers(), a.list(), a.describe(), a.call(), a.status(),
		a.explain(), a.refusals(), a.reload(), a.version())
	return root
}

// globals lets EASYMICRO_* stand in for flags that are not given, and checks them.
func (a *app) globals(cmd *cobra.Command) error {
	for _, name := range []string{"config", "admin", "output", "no-color"} {
		f := cmd.Flags().Lookup(name)
		variable := "EASYMICRO_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
		value, ok := os.LookupEnv(variable)
		if f == nil || f.Changed || !ok || value == "" {
			continue
		}
		if err := f.Value.Set(value); err != nil {
			return usageError("%s: %w", variable, err)
		}
	}
	if os.Getenv("NO_COLOR") != "" {
		a.noColor = true
	}
	if cmd.Name() == "validate" {
		return a.checkOutput(outputText, outputJSON, outputGithub)
	}
	return a.checkOutput(outputText, outputJSON)
}

// terminal tells whether a stream is one that a person looks at.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
