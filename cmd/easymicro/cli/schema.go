package cli

import (
	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/schema"
)

// schemaCommand prints the JSON Schema of the files of a host.
type schemaCommand struct{ *app }

func newSchema(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema [manifest|policies|policytest]",
		Short: "Print the JSON Schema of manifests, policy files or policy tests, for editors",
		Long: `schema prints the JSON Schema (2020-12) of the files that this binary reads, with its handlers, their options and their
methods. Editors complete and check a file whose first line names the schema:

  # yaml-language-server: $schema=./easymicro.schema.json

If the manifest of -c exists, the schema also suggests the names of its services.`,
		Example: `  easymicro schema > easymicro.schema.json
  easymicro schema policies > policies.schema.json`,
		Args:      argRange(0, 1, "at most one argument: manifest, policies or policytest"),
		ValidArgs: []string{"manifest", "policies", "policytest"},
		RunE:      (&schemaCommand{a}).run,
	}
}

func (c *schemaCommand) run(cmd *cobra.Command, args []string) error {
	m, err := readManifest(c.app)
	if err != nil {
		return err
	}
	var services []string
	if m != nil {
		for i := range m.Services {
			services = append(services, m.Services[i].Name)
		}
	}
	describe := schema.Manifest
	switch {
	case len(args) == 0 || args[0] == "manifest":
	case args[0] == "policies":
		describe = schema.Policies
	case args[0] == "policytest":
		describe = schema.PolicyTest
	default:
		return usageError("%q is not manifest, policies or policytest%s", args[0], didYouMean(args[0], cmd.ValidArgs))
	}
	out, err := describe(c.registry, services...)
	if err != nil {
		return err
	}
	_, err = c.out.Write(out)
	return err
}
