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
both here; the latter have an upstream. Refusals of the same caller, peer and key (of a rate limit) within a second share
one line, which has the time, state and trace of the first. A caller whose refusals differ too much gets one line various
for the rest of that second. Lines in mode shadow are calls that were let through; their rule would have refused them if it
were enforced.`,
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
	rows := [][]string{{"TIME", "COUNT", "UPSTREAM", "METHOD", "CALLER", "KEY", "REASON", "MODE", "RULE", "PLACE", "STATE THEN", "TRACE"}}
	for i := range list {
		r := &list[i]
		method, caller := r.Service+"."+r.Method, orDash(r.Caller)
		if r.Various {
			method = "various"
		}
		if r.Peer != "" {
			caller += " " + r.Peer
		}
		reason, mode := a.paint(red, r.Reason), ""
		if r.Shadow {
			reason, mode = r.Reason, modeShadow
		}
		rows = append(rows, []string{
			when(r.At), fmt.Sprint(r.Count), orDash(r.Upstream), method, caller, orDash(r.Key), reason, orDash(mode), orDash(r.Rule),
			orDash(r.Position), orDash(r.State), orDash(r.Trace),
		})
	}
	a.titled(withoutEmpty(rows, "UPSTREAM", "KEY", "MODE", "TRACE"))
}

// withoutEmpty leaves out those columns of a table with titles that have nothing in any row.
func withoutEmpty(rows [][]string, titles ...string) [][]string {
	for _, title := range titles {
		at := slices.Index(rows[0], title)
		if slices.ContainsFunc(rows[1:], func(row []string) bool { return row[at] != orDash("") }) {
			continue
		}
		for i := range rows {
			rows[i] = slices.Delete(rows[i], at, at+1)
		}
	}
	return rows
}

// when is a time of day, with its day when that is another.
func when(t time.Time) string {
	t = t.Local()
	if now := time.Now(); t.YearDay() != now.YearDay() || t.Year() != now.Year() {
		return t.Format("2006-01-02 15:04:05")
	}
	return t.Format("15:04:05.000")
}
