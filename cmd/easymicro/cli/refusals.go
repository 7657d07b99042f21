package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

// refusalsCommand shows calls that the host rejected.
type refusalsCommand struct {
	*app
	caller string
	since  time.Duration
}

func newRefusals(a *app) *cobra.Command {
	c := &refusalsCommand{app: a}
	cmd := &cobra.Command{
		Use:   "refusals",
		Short: "Show recently refused calls, newest first",
		Long: `refusals shows the calls that the host itself refused or ended: when, which method, which caller, why, by which rule and its
location in the files, and the state of the rule at that moment. It includes incoming calls and calls to upstreams; the
latter name their upstream. Refusals of the same caller, peer and rate limit key within a second share a line, with the time,
state and trace of the first. If refusals of a caller differ too much, they share one line "various" for the rest of that
second. Lines in mode shadow are calls that were allowed: their rule would have refused them if it were enforced.`,
		Example: `  easymicro refusals
  easymicro refusals --caller partner-1 --since 10m`,
		Args: noArgs,
		RunE: c.run,
	}
	cmd.Flags().StringVar(&c.caller, "caller", "", "only refusals of the caller `NAME`")
	cmd.Flags().DurationVar(&c.since, "since", 0, "only refusals of the last `DURATION`, e.g. 10m (default: all that are kept)")
	_ = cmd.RegisterFlagCompletionFunc("caller", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("since", fixed("1m", "10m", "1h"))
	return cmd
}

func (c *refusalsCommand) run(cmd *cobra.Command, _ []string) error {
	if c.since < 0 {
		return usageError("--since %s is negative", c.since)
	}
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	q := admin.RefusalQuery{Caller: c.caller}
	if c.since > 0 {
		q.Since = time.Now().Add(-c.since)
	}
	list, err := host.Refusals(cmd.Context(), q)
	if err != nil {
		return host.failed(err)
	}
	return c.print(list, func() { refusalsText(&c.printer, list) })
}

func refusalsText(p *printer, list []admin.Refusal) {
	if len(list) == 0 {
		p.line("no refused calls")
		return
	}
	rows := [][]string{{"TIME", "COUNT", "UPSTREAM", "METHOD", "CALLER", "KEY", "REASON", "MODE", "RULE", "LOCATION", "RULE STATE", "TRACE"}}
	for i := range list {
		r := &list[i]
		method, caller := r.Service+"."+r.Method, orDash(r.Caller)
		if r.Various {
			method = "various"
		}
		if r.Peer != "" {
			caller += " " + r.Peer
		}
		reason, mode := p.paint(red, r.Reason), ""
		if r.Shadow {
			reason, mode = r.Reason, modeShadow
		}
		rows = append(rows, []string{
			when(r.At), fmt.Sprint(r.Count), orDash(r.Upstream), method, caller, orDash(r.Key), reason, orDash(mode), orDash(r.Rule),
			orDash(r.Position), orDash(r.State), orDash(r.Trace),
		})
	}
	p.titled(withoutEmpty(rows, "UPSTREAM", "KEY", "MODE", "TRACE"))
}

// when formats a time of day, with the date unless that is today.
func when(t time.Time) string {
	t = t.Local()
	if now := time.Now(); t.YearDay() != now.YearDay() || t.Year() != now.Year() {
		return t.Format("2006-01-02 15:04:05")
	}
	return t.Format("15:04:05.000")
}
