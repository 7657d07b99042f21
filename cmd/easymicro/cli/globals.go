package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
)

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
