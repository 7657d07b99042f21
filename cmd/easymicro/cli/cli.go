// Package cli implements the easymicro command line. A host binary with its own handlers is cli.Main plus the imports
// that register them.
package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/registry"
)

// Main runs the command line of the process and exits.
func Main() {
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
	root := a.root()
	err := a.environment(root)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	return report(&a.printer, err)
}

// Defaults of a host, used where neither a flag nor a manifest sets them.
const (
	defaultManifest                = "easymicro.yaml"
	defaultAdmin                   = "127.0.0.1:8970"
	defaultListen   config.Address = "127.0.0.1:8972"
)

// app is what the commands share: the streams, the handlers compiled in, and the flags that every command has.
type app struct {
	printer
	in       io.Reader
	args     []string
	registry *registry.Registry

	manifest string // --config
	named    bool   // the manifest was named, by --config or the environment
	admin    string // --admin
}

func (a *app) root() *cobra.Command {
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
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.checkGlobals(cmd) },
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
	group("run", "Run a host", newServe(a), newGateway(a), newValidate(a), newSchema(a), newHandlers(a))
	group("inspect", "Inspect a running host", newStatus(a), newList(a), newDescribe(a), newExplain(a), newRefusals(a), newReload(a))
	group("call", "Call a service", newCall(a))
	help := newHelp()
	root.SetHelpCommand(help)
	group("other", "Other commands", help, newCompletion(a), newVersion(version))
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { (&helpPage{&a.printer, order}).show(cmd) })
	return root
}

func (a *app) globalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVarP(&a.manifest, "config", "c", defaultManifest, "`FILE` with the manifest of the host")
	flags.StringVar(&a.admin, "admin", "", "admin `ADDRESS` of the running host (default: admin.address of the manifest, else "+defaultAdmin+")")
	flags.StringVarP(&a.format, "output", "o", formatText, "output `FORMAT` of data and errors: text or json")
	flags.BoolVar(&a.noColor, "no-color", false, "disable colours, like NO_COLOR")
	_ = root.MarkPersistentFlagFilename("config", "yaml", "yml")
	_ = root.RegisterFlagCompletionFunc("output", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return formats(cmd), cobra.ShellCompDirectiveNoFileComp
	})
	_ = root.RegisterFlagCompletionFunc("admin", cobra.NoFileCompletions)
}

// environment sets globals from EASYMICRO_*. Flags are parsed later and override them.
func (a *app) environment(root *cobra.Command) error {
	a.noColor = os.Getenv("NO_COLOR") != ""
	for _, name := range []string{"config", "admin", "output", "no-color"} {
		variable := load.Variable(name)
		value := os.Getenv(variable)
		if value == "" {
			continue
		}
		if err := root.PersistentFlags().Lookup(name).Value.Set(value); err != nil {
			return usageError("%s: %w", variable, err)
		}
		a.named = a.named || name == "config"
	}
	return nil
}

// checkGlobals completes and checks the globals once the flags are parsed.
func (a *app) checkGlobals(cmd *cobra.Command) error {
	a.named = a.named || cmd.Flags().Changed("config")
	if allowed := formats(cmd); !slices.Contains(allowed, a.format) {
		from := load.Variable("output")
		if cmd.Flags().Changed("output") {
			from = "--output"
		}
		return usageError("%s: %q is not one of %s", from, a.format, strings.Join(allowed, ", "))
	}
	a.unknownVariables(cmd)
	return nil
}

// unknownVariables warns about variables that look like misspelt ones of easymicro. Commands that load the files of a host
// warn by themselves, since they know which variables these use; a completing shell has nowhere to show a warning.
func (a *app) unknownVariables(cmd *cobra.Command) {
	if slices.Contains([]string{"serve", "gateway", "validate", cobra.ShellCompRequestCmd, cobra.ShellCompNoDescRequestCmd}, cmd.Name()) {
		return
	}
	misspelt := slices.DeleteFunc(load.Unknown(nil), func(w config.Problem) bool { return w.Suggestion == "" })
	if len(misspelt) == 0 {
		return
	}
	manifest, _ := readFile(a.manifest, config.MaxFileBytes)
	for _, w := range misspelt {
		if bytes.Contains(manifest, []byte("${"+w.Path)) {
			continue
		}
		w.Message = "not a variable of easymicro"
		if a.format == formatJSON {
			_ = json.NewEncoder(a.err).Encode(map[string]config.Problem{"warning": w})
			continue
		}
		a.note("easymicro: warning: %s", w)
	}
}

// formats returns the output formats that a command has.
func formats(cmd *cobra.Command) []string {
	if cmd.Name() == "validate" {
		return []string{formatText, formatJSON, formatGitHub}
	}
	return []string{formatText, formatJSON}
}
