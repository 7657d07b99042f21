// Package cli is the commands of easymicro. A host with handlers of its own is cli.Main and the imports that register
// them.
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
	"golang.org/x/term"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
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

const defaultManifest = "easymicro.yaml"

// globals are the flags of every command. EASYMICRO_* stands in for one that is not given.
type globals struct {
	manifest string
	admin    string
	output   string
	noColor  bool

	named      bool   // the manifest was named, by -c or the environment
	outputFrom string // what said --output, for its errors
	adminFrom  string // the manifest that said where the host is, for errors
}

// The forms of output.
const (
	outputText   = "text"
	outputJSON   = "json"
	outputGithub = "github" // of validate alone: annotations of a pull request
)

func (a *app) globalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVarP(&a.manifest, "config", "c", defaultManifest, "manifest of the host, a `FILE`")
	flags.StringVar(&a.admin, "admin", "", "admin `ADDRESS` of a running host (default: what the manifest says, else "+defaultAdmin+")")
	flags.StringVarP(&a.output, "output", "o", outputText, "text or json: the `FORM` of data on stdout and of errors on stderr")
	flags.BoolVar(&a.noColor, "no-color", false, "no colours, as with NO_COLOR")
	_ = root.MarkPersistentFlagFilename("config", "yaml", "yml")
	_ = root.RegisterFlagCompletionFunc("output", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return forms(cmd), cobra.ShellCompDirectiveNoFileComp
	})
	_ = root.RegisterFlagCompletionFunc("admin", cobra.NoFileCompletions)
}

// environment takes globals from EASYMICRO_*; the flags, which are parsed later, stand over them.
func (a *app) environment(root *cobra.Command) error {
	a.noColor = os.Getenv("NO_COLOR") != ""
	a.outputFrom = "--output"
	for _, name := range []string{"config", "admin", "output", "no-color"} {
		variable := load.Variable(name)
		value := os.Getenv(variable)
		if value == "" {
			continue
		}
		if err := root.PersistentFlags().Lookup(name).Value.Set(value); err != nil {
			return usageError("%s: %w", variable, err)
		}
		switch name {
		case "config":
			a.named = true
		case "output":
			a.outputFrom = variable
		}
	}
	return nil
}

// checkOutput completes the globals once the flags are parsed.
func (a *app) checkOutput(cmd *cobra.Command) error {
	flags := cmd.Flags()
	if f := flags.Lookup("config"); f != nil && f.Changed {
		a.named = true
	}
	if f := flags.Lookup("output"); f != nil && f.Changed {
		a.outputFrom = "--output"
	}
	allowed := forms(cmd)
	if slices.Contains(allowed, a.output) {
		a.unknownVariables(cmd)
		return nil
	}
	return usageError("%s: %q is not one of %s", a.outputFrom, a.output, strings.Join(allowed, ", "))
}

// unknownVariables warns of what looks like a variable of ours that is misspelt. What else the files of a host read only
// commands know that load them, and those warn by themselves; a shell that completes has nowhere to show it.
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
		if a.output == outputJSON {
			_ = json.NewEncoder(a.io.Err).Encode(map[string]config.Problem{"warning": w})
			continue
		}
		a.note("easymicro: warning: %s", w)
	}
}

// forms are the forms of output that a command has.
func forms(cmd *cobra.Command) []string {
	if cmd.Name() == "validate" {
		return []string{outputText, outputJSON, outputGithub}
	}
	return []string{outputText, outputJSON}
}
