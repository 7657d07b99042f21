package cli

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

// diffCommand shows how files differ from what the host runs.
type diffCommand struct {
	*app
	exitCode, prune bool
	out             string
}

func newDiff(a *app) *cobra.Command {
	c := &diffCommand{app: a}
	cmd := &cobra.Command{
		Use:   "diff [FILES…]",
		Short: "Show how the files differ from what the host runs",
		Long: `diff has the running host read its files and compares them with what it runs, in meaning: order, comments and defaults written
out do not count. Given FILES, it compares what easymicro apply FILES would put in force. Nothing is applied. Each change is a
line: + added, - removed, ~ changed, then < if it lets more calls through (wider) and > if it lets fewer through (tighter), its
position, and rolling or restart if it is more than a change between two calls. Then follows the forecast: for each changed rule
which of the calls of the last five minutes it would have refused or timed out, whose, and what cannot be forecast. Then come
warnings: access rules that are removed, and calls that only the files let through.

With --out it keeps FILES and what the host runs as a plan, which easymicro apply accepts as long as the host runs the same.

It exits with 3 if the files have problems and, with --exit-code, if there is a difference.`,
		Example: `  easymicro diff
  easymicro diff --exit-code -o json
  easymicro diff -o json | jq .forecast
  easymicro diff policies.d/10-orders.yaml --out p.plan`,
		ValidArgsFunction: completeManifests,
		RunE:              c.run,
	}
	flags := cmd.Flags()
	flags.BoolVar(&c.exitCode, "exit-code", false, "exit with 3 if there is a difference")
	flags.BoolVar(&c.prune, "prune", false, "compare without the other policy files of the host, as apply --prune does")
	flags.StringVar(&c.out, "out", "", "write the plan to `FILE`, for easymicro apply")
	return cmd
}

func (c *diffCommand) run(cmd *cobra.Command, args []string) error {
	if len(args) == 0 && (c.out != "" || c.prune) {
		return usageError("--out and --prune need FILES: without, diff compares the files of the host, which it applies when they are saved")
	}
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	d, err := c.difference(cmd.Context(), host, args)
	if err != nil {
		return err
	}
	list, err := host.Overrides(cmd.Context())
	if err != nil {
		return host.failed(err)
	}
	err = c.print(d, func() {
		(&difference{&c.printer, d}).text()
		if len(list) > 0 {
			c.line("not compared: %s in force (easymicro override list)", count(len(list), "override"))
		}
	})
	if err != nil {
		return err
	}
	if c.exitCode && len(d.Changes) > 0 {
		return &exitError{code: ExitProblems, err: errors.New(count(len(d.Changes), "change"))}
	}
	return nil
}

// difference returns the answer of the host, and writes the plan if --out is given.
func (c *diffCommand) difference(ctx context.Context, host *hostClient, args []string) (*admin.Difference, error) {
	if len(args) == 0 {
		d, err := host.Diff(ctx)
		if err != nil {
			return nil, reloadError(host, err)
		}
		return d, nil
	}
	list, err := readPolicies(args)
	if err != nil {
		return nil, err
	}
	d, err := host.Plan(ctx, admin.ApplyRequest{Files: list, Prune: c.prune})
	if err != nil {
		return nil, reloadError(host, err)
	}
	if c.out == "" {
		return d, nil
	}
	p := &plan{Version: planVersion, Hash: d.Hash, Revision: d.Revision, Files: list, Prune: c.prune, Changes: d.Changes, Forecast: d.Forecast}
	return d, p.write(c.out)
}
