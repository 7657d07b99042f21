package cli

import (
	"errors"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
)

// configCommand shows the manifest and the rules with all defaults.
type configCommand struct {
	*app
	offline bool
}

func newConfig(a *app) *cobra.Command {
	c := &configCommand{app: a}
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show the manifest and the rules in force, with all defaults",
		Long: `config shows what a running host runs: a manifest with the defaults written out and the rules of all files, each value with its
place or "default" as a comment. Settings of flags and variables have their name. Without a default of its own a field is left
out. Options of handlers that may be secrets are shown as …, files by their names only.

With --offline it reads the files of the manifest instead, and exits with 3 if they have problems. -o json has each value by its
path: {"policies.rules[0].rateLimit.rate": {"value": 500, "file": "policies.yaml", "line": 4, "column": 23}}.`,
		Example: `  easymicro config
  easymicro config --offline -c samples/quickstart/easymicro.yaml
  easymicro config -o json | jq 'with_entries(select(.value.default | not))'`,
		Args: noArgs,
		RunE: c.run,
	}
	cmd.Flags().BoolVar(&c.offline, "offline", false, "show what the files say, without a running host")
	return cmd
}

func (c *configCommand) run(cmd *cobra.Command, _ []string) error {
	if c.offline {
		return c.ofFiles(cmd)
	}
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	running, err := host.Config(cmd.Context())
	if err != nil {
		return host.failed(err)
	}
	return c.print(running.Values, func() { c.running(running) })
}

func (c *configCommand) running(running *admin.Configuration) {
	c.line("# r%d %s", running.Revision, short(running.Hash))
	for _, p := range running.PendingRestart {
		c.line("# pending restart: %s (%s): %s → %s", p.Field, p.Position, orDash(p.Running), orDash(p.Desired))
	}
	c.yaml(running.YAML)
}

func (c *configCommand) yaml(text string) { c.line("%s", text[:max(len(text)-1, 0)]) }

// ofFiles shows the files of the manifest.
func (c *configCommand) ofFiles(cmd *cobra.Command) error {
	if err := notDirectory(c.manifest); err != nil {
		return err
	}
	set, err := files.Through(cmd.Context(), new(files.Gate), func(at func(string)) (*config.Set, error) {
		return load.Load(c.manifest, load.Options{At: at})
	})
	if errors.Is(err, fs.ErrNotExist) {
		return noManifest(c.app, err)
	}
	if err == nil {
		err = host.Check(set, c.registry).Err()
	}
	if problems, ok := errors.AsType[config.Problems](err); ok {
		return &exitError{ExitProblems, errors.New(count(len(problems.Errors()), "problem")), problems.Errors()}
	}
	if err != nil {
		return err
	}
	e, err := config.EffectiveOf(set)
	if err != nil {
		return err
	}
	return c.print(e.Values, func() { c.yaml(e.YAML) })
}
