package cli

import (
	"cmp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

// promoteCommand enforces a rule that is in shadow.
type promoteCommand struct {
	applying
	share string
}

func newPromote(a *app) *cobra.Command {
	c := &promoteCommand{applying: applying{app: a}}
	cmd := &cobra.Command{
		Use:   "promote RULE",
		Short: "Enforce a rule that is in shadow, for all callers or for a share of them",
		Long: `promote enforces a rule whose mode is shadow: for all callers or, with --enforce-share, for a share of them. Running it again
enforces the rule for a larger share, and without the flag for all. easymicro shadow shows what the rule would have refused.

Like easymicro apply, it shows the changes and the forecast and asks at a terminal. The host observes the edit and rolls it back
if it refuses too many calls. The host writes no files: promote prints what to write in them. The edit stays in force, over
restarts too if the manifest has host.state, until the files change or easymicro reload --force. The rule keeps what it has counted
in shadow, such as the tokens of its buckets.

It exits with 3 if the file of the rule cannot be edited by command, and with 5 if the rule is not in shadow or, with --wait, if
the host has rolled the edit back.`,
		Example: `  easymicro promote partner-quota --dry-run
  easymicro promote partner-quota --enforce-share 10% --yes --wait -m "ticket 4711"
  easymicro promote partner-quota --yes`,
		Args:              argRange(1, 1, "one argument: a rule in shadow; easymicro shadow lists them"),
		ValidArgsFunction: firstArgument(a, shadowWords),
		RunE:              c.run,
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&c.share, "enforce-share", "", "enforce it for this `SHARE` of the callers, such as 10% (default: for all)")
	_ = cmd.RegisterFlagCompletionFunc("enforce-share", fixed("1%", "10%", "50%"))
	return cmd
}

func (c *promoteCommand) run(cmd *cobra.Command, args []string) error {
	if cmd.Flags().Changed("enforce-share") {
		share, err := config.ParseShare(c.share)
		switch {
		case err != nil:
			return usageError("--enforce-share: %w", err)
		case share == 0:
			return usageError("--enforce-share: 0 enforces the rule for no caller: want a larger share, such as 10%%")
		}
	}
	if err := c.check(cmd); err != nil {
		return err
	}
	d, err := c.put(cmd.Context(), &admin.ApplyRequest{Promote: &admin.Promotion{Rule: args[0], EnforceShare: c.share}})
	if d != nil && err == nil && c.format == formatText {
		c.advise(args[0], d.Changes)
	}
	return err
}

// advise says what to write in the file, which the edit has not changed.
func (c *promoteCommand) advise(rule string, changes admin.Changes) {
	var at config.Position
	var fields []string
	for i := range changes {
		if x := &changes[i]; x.Subject == rule && x.Path != "" { // a certificate may have changed as well
			at, fields = cmp.Or(at, x.Position), append(fields, x.Path+": "+x.New)
		}
	}
	c.line("to keep it over edits of the files, write in %s: %s", at, strings.Join(fields, ", "))
}
