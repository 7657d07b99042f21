package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

func (a *app) refusals() *cobra.Command {
	var caller string
	var since time.Duration
	cmd := &cobra.Command{
		Use:   "refusals",
		Short: "Who was refused by which rule, the newest first",
		Long: `refusals shows the calls that the host itself refused or ended: when, which method, which caller, why, by which rule at
which place in the files, and the state of the rule at that moment. Refusals alike within a second share a line.`,
		Example: `  easymicro refusals
  easymicro refusals --caller partner-1 --since 10m`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			q := admin.RefusalQuery{Caller: caller}
			if since > 0 {
				q.Since = time.Now().Add(-since)
			}
			list, err := c.Refusals(cmd.Context(), q)
			if err != nil {
				return hostError(err)
			}
			return a.print(list, func() { a.refusalsText(list) })
		},
	}
	cmd.Flags().StringVar(&caller, "caller", "", "only of this caller")
	cmd.Flags().DurationVar(&since, "since", 0, "only as old as this, such as 10m (default: all that are remembered)")
	return cmd
}

func (a *app) refusalsText(list []admin.Refusal) {
	if len(list) == 0 {
		a.line("no refusals")
		return
	}
	rows := [][]string{{"TIME", "COUNT", "METHOD", "CALLER", "PEER", "REASON", "RULE", "PLACE", "STATE THEN"}}
	for _, r := range list {
		rows = append(rows, []string{
			r.At.Local().Format("15:04:05.000"), fmt.Sprint(r.Count), r.Service + "." + r.Method, r.Caller, orDash(r.Peer), r.Reason,
			orDash(r.Rule), orDash(r.Position), orDash(r.State),
		})
	}
	a.table(rows)
}
