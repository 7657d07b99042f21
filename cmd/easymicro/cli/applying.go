package cli

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

// applying shows an edit, asks for it at a terminal, and puts it in force.
type applying struct {
	*app
	yes, dryRun, wait, force bool
	revertAfter              time.Duration
	message                  string
}

func (c *applying) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	flags.BoolVar(&c.force, "force", false, "apply even if the forecast exceeds maxNewRefusals")
	flags.BoolVar(&c.dryRun, "dry-run", false, "have the host check the edit and show what would change, and apply nothing")
	flags.BoolVar(&c.wait, "wait", false, "wait until the host keeps the edit or has rolled it back")
	flags.DurationVar(&c.revertAfter, "revert-after", 0, "go back after this `TIME` unless easymicro confirm is run before")
	flags.StringVarP(&c.message, "message", "m", "", "`REASON` for the history and the audit log")
	for _, name := range []string{"revert-after", "message"} {
		_ = cmd.RegisterFlagCompletionFunc(name, cobra.NoFileCompletions)
	}
}

// check checks the flags.
func (c *applying) check(cmd *cobra.Command) error {
	switch {
	case cmd.Flags().Changed("revert-after") && c.revertAfter < time.Second:
		return usageError("--revert-after: %s is too short: want a time such as 2m", c.revertAfter)
	case c.asks() && !terminal(c.in):
		return usageError("%s asks for confirmation, but the input is not a terminal: use --yes, or --dry-run to preview the changes", cmd.Name())
	}
	return nil
}

func (c *applying) asks() bool { return !c.yes && !c.dryRun }

// put shows what the request changes, puts it in force and shows the revision. It returns the difference if the revision was applied,
// and nil otherwise.
func (c *applying) put(ctx context.Context, q *admin.ApplyRequest) (*admin.Difference, error) {
	q.Force, q.RevertAfter, q.Message, q.RecordRejection = c.force, admin.Seconds(c.revertAfter), c.message, !c.dryRun
	host, err := newHostClient(c.app)
	if err != nil {
		return nil, err
	}
	d, err := host.Plan(ctx, *q)
	if err != nil {
		return nil, reloadError(host, err)
	}
	shown := &difference{&c.printer, d}
	switch {
	case c.dryRun || len(d.Changes) == 0 || len(d.Problems.Errors()) > 0:
		if err := c.print(d, shown.text); err != nil {
			return nil, err
		}
		return nil, shown.rejected()
	case c.format == formatText:
		shown.text()
	}
	question, asks := "Apply?", c.asks()
	if f := d.Forecast; f != nil && f.Exceeds != "" && !c.force && terminal(c.in) {
		question, asks, q.Force = "The forecast exceeds policies.autoRollback.maxNewRefusals. Apply all the same?", true, true
	}
	if asks && !c.agreed(question) {
		return nil, failed("nothing was applied")
	}
	q.IfMatch = d.Hash // apply only what was shown
	r, err := host.Apply(ctx, *q)
	if err != nil {
		return nil, reloadError(host, err)
	}
	return d, (&putInForce{c.app, host, c.wait, d.Warnings}).show(ctx, r)
}

// agreed asks the user a question, and reports whether the answer is yes.
func (c *applying) agreed(question string) bool {
	fmt.Fprint(c.err, question+" [y/N] ")
	answer, _ := bufio.NewReader(c.in).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}
