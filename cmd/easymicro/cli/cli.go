// Package cli implements the easymicro command line. A host binary with its own handlers is cli.Main plus the imports
// that register them.
package cli

import (
	"context"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/policytest"
	"github.com/easymicro/easymicro/registry"
)

// Main runs the command line of the process and exits.
func Main() {
	if policytest.IsChild(os.Args) {
		policytest.Child()
	}
	os.Exit(Run(context.Background(), os.Args[1:], IO{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// IO holds the streams of a command: data goes to Out, errors and notes go to Err.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
}

// Run runs one command line and returns its exit code. When ctx ends, serve drains and other commands give up.
func Run(ctx context.Context, args []string, streams IO) int {
	a := &app{printer: printer{out: streams.Out, err: streams.Err}, in: streams.In, args: args, registry: registry.Default()}
	root := newRoot(a)
	err := a.environment(root)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	return report(&a.printer, err)
}

// Command returns the root command with all its subcommands, for programs that write manual pages. Run runs them.
func Command() *cobra.Command {
	return newRoot(&app{printer: printer{out: io.Discard, err: io.Discard}, registry: registry.Default()})
}

// newRoot returns the root command with all its subcommands.
func newRoot(a *app) *cobra.Command {
	showVersion := false
	version := &versionCommand{app: a}
	root := &cobra.Command{
		Use:   "easymicro",
		Short: "A service host: handlers in Go, everything else in YAML, hot-reloaded",
		Long: `easymicro runs Go handlers as services described by a YAML manifest: which handlers, which listeners, which limits, breakers
and timeouts. Policy files are hot-reloaded: edit one, save it, and the next call runs under the new rules.

Exit codes: 0 success, 1 failure, 2 wrong flags or arguments, 3 problems in the files, 4 host or service unreachable,
5 the host or service answered with an error.`,
		Example: `  easymicro serve -c samples/quickstart/easymicro.yaml
  easymicro call Arith.Mul '{"a":73,"b":1500}'`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          unknownCommand,
		RunE: func(cmd *cobra.Command, args []string) error {
			if showVersion {
				return version.run(cmd, args)
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.checkGlobals(cmd); err != nil {
				return err
			}
			unknownVariables(a, cmd)
			return nil
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetArgs(a.args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, a.args, err) })
	root.Flags().BoolVarP(&showVersion, "version", "v", false, "print the version and exit")
	a.globalFlags(root)
	var order []string // of the commands in the help
	group := func(id, title string, commands ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: id, Title: title})
		for _, cmd := range commands {
			cmd.GroupID = id
			order = append(order, cmd.Name())
		}
		root.AddCommand(commands...)
	}
	group("run", "Run a host", newServe(a), newGateway(a), newValidate(a), newPolicyTest(a), newSchema(a), newHandlers(a))
	group("inspect", "Inspect a running host", newStatus(a), newList(a), newDescribe(a), newExplain(a), newRefusals(a), newShadow(a), newTop(a),
		newDiff(a), newConfig(a), newHistory(a))
	group("change", "Change a running host", newApply(a), newPromote(a), newConfirm(a), newRollback(a), newReload(a), newDrain(a), newUndrain(a))
	group("incident", "Act on an incident", newLimit(a), newBlock(a), newOverride(a), newBypass(a), newBreaker(a))
	group("call", "Call a service", newCall(a))
	help := newHelp()
	root.SetHelpCommand(help)
	group("other", "Other commands", help, newCompletion(a), newVersion(version))
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { (&helpPage{&a.printer, order}).show(cmd) })
	return root
}
