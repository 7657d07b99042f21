package cli

import (
	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/schema"
)

func (a *app) schema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema [manifest|policies]",
		Short: "JSON Schema of the manifest or of the policy files, for editors",
		Long: `schema prints the JSON Schema (2020-12) of the files that this binary reads, with its handlers, their options and their
methods. Editors complete and check a file whose first line names the schema:

  # yaml-language-server: $schema=./easymicro.schema.json

With a manifest at -c, the schema also suggests the names of its services.`,
		Example: `  easymicro schema > easymicro.schema.json
  easymicro schema policies > policies.schema.json`,
		Args:      argRange(0, 1, "at most one of manifest and policies"),
		ValidArgs: []string{"manifest", "policies"},
		RunE: func(cmd *cobra.Command, args []string) error {
			var services []string
			if m, err := a.readManifest(); err != nil {
				return err
			} else if m != nil {
				for i := range m.Services {
					services = append(services, m.Services[i].Name)
				}
			}
			describe := schema.Manifest
			switch {
			case len(args) == 0 || args[0] == "manifest":
			case args[0] == "policies":
				describe = schema.Policies
			default:
				return usageError("%q is not manifest or policies%s", args[0], didYouMean(args[0], cmd.ValidArgs))
			}
			out, err := describe(a.registry, services...)
			if err != nil {
				return err
			}
			_, err = a.io.Out.Write(out)
			return err
		},
	}
}
