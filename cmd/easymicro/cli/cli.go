// Package cli is the commands of easymicro. A host with handlers of its own is cli.Main and the imports that register
// them.
package cli

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/easymicro/easymicro/registry"
)

// Main runs the command line of the process and exits.
func Main() {
	os.Exit(Run(context.Background(), os.Args[1:], IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// IO is where a command reads and writes: data goes to Out, errors and what accompanies data to Err.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
}

// app is what the commands share.
type app struct {
	io       IO
	args     []string
	registry *registry.Registry
	order    []string // of the commands in the help
	globals
}

// Run runs one command line and returns its exit code. When ctx ends, serve drains and other commands give up.
func Run(ctx context.Context, args []string, streams IO) int {
	a := &app{io: streams, args: args, registry: registry.Default()}
	root := a.root()
	err := a.environment(root)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	return a.report(err)
}

func (a *app) root() *cobra.Command {
	asked := false // for the version
	root := &cobra.Command{
		Use:   "easymicro",
		Short: "A service host: handlers in Go, everything else in YAML, edited while it runs",
		Long: `easymicro runs Go handlers as services, as a YAML manifest says: which of them, where they listen, with what limits,
breakers and timeouts. While it runs, edit the policy files and save: the host follows.

Exit codes: 0 done, 1 failed, 2 wrong flags or arguments, 3 problems in files, 4 the host or service cannot be reached,
5 it answered with an error.`,
		Example: `  easymicro serve -c samples/quickstart/easymicro.yaml
  easymicro call Arith.Mul '{"a":73,"b":1500}'`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asked {
				return a.showVersion()
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.checkOutput(cmd) },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetArgs(a.args)
	root.SetIn(a.io.In)
	root.SetOut(a.io.Out)
	root.SetErr(a.io.Err)
	root.SetFlagErrorFunc(a.flagError)
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { a.showHelp(cmd) })
	root.Flags().BoolVarP(&asked, "version", "v", false, "the version of this binary, as the command version shows it")
	a.globalFlags(root)
	group := func(id, title string, commands ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: id, Title: title})
		for _, cmd := range commands {
			cmd.GroupID = id
			a.order = append(a.order, cmd.Name())
		}
		root.AddCommand(commands...)
	}
	group("run", "Run a host", a.serve(), a.gateway(), a.validate(), a.schema(), a.handlers())
	group("ask", "Ask a running host", a.status(), a.list(), a.describe(), a.explain(), a.refusals(), a.reload())
	group("call", "Call a service", a.call())
	help := a.help()
	root.SetHelpCommand(help)
	group("other", "And", help, a.completion(), a.version())
	return root
}

// terminal tells whether a stream is one that a person looks at.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
