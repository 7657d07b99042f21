package cli

import (
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/registry"
)

// Defaults for what neither a flag nor the manifest sets.
const (
	defaultManifest                = "easymicro.yaml"
	defaultAdmin                   = "127.0.0.1:8970"
	defaultListen   config.Address = "127.0.0.1:8972"
)

// app is shared by the commands: the streams, the compiled-in handlers and the global flags.
type app struct {
	printer
	in       io.Reader
	args     []string
	registry *registry.Registry

	manifest string // --config
	named    bool   // the manifest was named, by --config or the environment
	admin    string // --admin
	adminCA  string // --admin-ca-file
	adminKey string // --admin-token-file
}

func (a *app) globalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVarP(&a.manifest, "config", "c", defaultManifest, "`FILE` with the manifest of the host")
	flags.StringVar(&a.admin, "admin", "", "admin `ADDRESS` of the running host (default: admin.address of the manifest, else "+defaultAdmin+")")
	flags.StringVar(&a.adminCA, "admin-ca-file", "", "`FILE` with the CA certificate of the admin listener (PEM), if it uses TLS")
	flags.StringVar(&a.adminKey, "admin-token-file", "", "`FILE` with your token of the admin listener (default: admin.tokenFile of the manifest)")
	flags.StringVarP(&a.format, "output", "o", formatText, "output `FORMAT` of data and errors: text or json")
	flags.BoolVar(&a.noColor, "no-color", false, "disable colours, like NO_COLOR")
	_ = root.MarkPersistentFlagFilename("config", "yaml", "yml")
	_ = root.RegisterFlagCompletionFunc("output", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return formats(cmd), cobra.ShellCompDirectiveNoFileComp
	})
	_ = root.RegisterFlagCompletionFunc("admin", cobra.NoFileCompletions)
}

// environment sets the globals from EASYMICRO_*. Flags, parsed later, override them.
func (a *app) environment(root *cobra.Command) error {
	a.noColor = os.Getenv("NO_COLOR") != ""
	for _, name := range []string{"config", "admin", "admin-ca-file", "admin-token-file", "output", "no-color"} {
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
	return nil
}

// formats returns the output formats of a command.
func formats(cmd *cobra.Command) []string {
	switch cmd.Name() {
	case "validate":
		return []string{formatText, formatJSON, formatGitHub, formatSARIF}
	case "test":
		return []string{formatText, formatJSON, formatJUnit}
	}
	return []string{formatText, formatJSON}
}
