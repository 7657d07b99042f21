package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

// diffCommand shows how the files differ from what the host runs.
type diffCommand struct {
	*app
	exitCode bool
}

func newDiff(a *app) *cobra.Command {
	c := &diffCommand{app: a}
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Show how the files differ from what the host runs",
		Long: `diff has the running host read its files and compares them with what it runs, in meaning: order, comments and defaults written
out do not count. Nothing is applied. Each change is a line: + added, - removed, ~ changed, then < if it lets more calls
through (wider) and > if it lets fewer through (tighter), its position, and rolling or restart if it is more than a change
between two calls. Then follow warnings: rules for access that go, and calls that only the files let through.

It exits with 3 if the files have problems and, with --exit-code, if there is a difference.`,
		Example: `  easymicro diff
  easymicro diff --exit-code -o json`,
		Args: noArgs,
		RunE: c.run,
	}
	cmd.Flags().BoolVar(&c.exitCode, "exit-code", false, "exit with 3 if there is a difference")
	return cmd
}

func (c *diffCommand) run(cmd *cobra.Command, _ []string) error {
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	d, err := host.Diff(cmd.Context())
	if err != nil {
		return reloadError(host, err)
	}
	if err := c.print(d, func() { c.text(d) }); err != nil {
		return err
	}
	if c.exitCode && len(d.Changes) > 0 {
		return &exitError{code: ExitProblems, err: errors.New(count(len(d.Changes), "change"))}
	}
	return nil
}

func (c *diffCommand) text(d *admin.Difference) {
	if len(d.Changes) == 0 {
		c.line("no difference: r%d runs what the files say", d.Revision)
	}
	colors := map[config.Effect]paint{config.Wider: yellow, config.Tighter: green}
	for i, line := range d.Changes.Signed() {
		c.line("%s", c.paint(colors[d.Changes[i].Effect], line))
	}
	for _, p := range d.Problems {
		if p.Warning {
			c.line("%s", warningText(&c.printer, p))
		} else {
			c.line("%s %s", c.paint(red, "rejected:"), p)
		}
	}
	for _, w := range d.Warnings {
		c.line("%s", warningText(&c.printer, w))
	}
}
