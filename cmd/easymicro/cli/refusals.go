package cli

import (
	"fmt"
	"slices"
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
which place in the files, and the state of the rule at that moment. Calls that came in and calls that the host made are
both here; the latter have an upstream. Refusals alike within a second share a line.`,
		Example: `  easymicro refusals
  easymicro refusals --caller partner-1 --since 10m`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since < 0 {
				return usageError("--since %s is in the future", since)
			}
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
				return a.hostError(err)
			}
			return a.print(list, func() { a.refusalsText(list) })
		},
	}
	cmd.Flags().StringVar(&caller, "caller", "", "only of the caller of this `NAME`")
	cmd.Flags().DurationVar(&since, "since", 0, "only of this last `TIME`, such as 10m (default: all that are remembered)")
	_ = cmd.RegisterFlagCompletionFunc("caller", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("since", fixed("1m", "10m", "1h"))
	return cmd
}

func (a *app) refusalsText(list []admin.Refusal) {
	if len(list) == 0 {
		a.line("no call was refused")
		return
	}
	upstream := slices.ContainsFunc(list, func(r admin.Refusal) bool { return r.Upstream != "" })
	trace := slices.ContainsFunc(list, func(r admin.Refusal) bool { return r.Trace != "" })
	rows := [][]string{{"TIME", "COUNT", "UPSTREAM", "METHOD", "CALLER", "REASON", "RULE", "PLACE", "STATE THEN", "TRACE"}}
	for i := range list {
		r := &list[i]
		caller := orDash(r.Caller)
		if r.Peer != "" {
			caller += " " + r.Peer
		}
		rows = append(rows, []string{
			when(r.At), fmt.Sprint(r.Count), orDash(r.Upstream), r.Service + "." + r.Method, caller, a.paint(red, r.Reason), orDash(r.Rule),
			orDash(r.Position), orDash(r.State), orDash(r.Trace),
		})
	}
	for i := range rows {
		if !trace {
			rows[i] = rows[i][:len(rows[i])-1]
		}
		if !upstream {
			rows[i] = slices.Delete(rows[i], 2, 3)
		}
	}
	a.titled(rows)
}

// when is a time of day, with its day when that is another.
func when(t time.Time) string {
	t = t.Local()
	if now := time.Now(); t.YearDay() != now.YearDay() || t.Year() != now.Year() {
		return t.Format("2006-01-02 15:04:05")
	}
	return t.Format("15:04:05.000")
}
