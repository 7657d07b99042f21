package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

// topCommand shows who calls what.
type topCommand struct {
	*app
	by     []string
	method string
	rows   int
	watch  bool
}

func newTop(a *app) *cobra.Command {
	c := &topCommand{app: a}
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show who calls what, the busiest first",
		Long: `top shows the calls of the last five minutes by caller and method, by peer, or by any combination: calls per second
within the last five to ten seconds and their share of all calls, the calls of the five minutes, how many of these a rule
of the host refused or ended, how many failed (UNAVAILABLE, INTERNAL, DEADLINE_EXCEEDED), and the mean latency of those
that were not refused.

The host counts them in bounded memory: callers and peers with few calls share a row "others" if there are very many.
Calls without a valid token have the caller "-", and calls of methods that are not served have the method _OTHER.`,
		Example: `  easymicro top
  easymicro top --by peer -n 5
  easymicro top --by caller --method Arith.Mul --watch
  easymicro top -o json | jq '.rows[0].caller'`,
		Args: noArgs,
		RunE: c.run,
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&c.by, "by", []string{admin.ByCaller, admin.ByMethod}, "`FIELDS` to sum up by: caller, method, peer or a list of them")
	flags.StringVar(&c.method, "method", "", "only calls of `METHOD`, e.g. Arith.Mul")
	flags.IntVarP(&c.rows, "rows", "n", 20, "at most this `NUMBER` of rows")
	flags.BoolVar(&c.watch, "watch", false, "refresh every second until interrupted")
	_ = cmd.RegisterFlagCompletionFunc("by", fixed(admin.TopFields()...))
	_ = cmd.RegisterFlagCompletionFunc("method", firstArgument(a, methodWords))
	_ = cmd.RegisterFlagCompletionFunc("rows", cobra.NoFileCompletions)
	return cmd
}

func (c *topCommand) run(cmd *cobra.Command, _ []string) error {
	q := admin.TopQuery{By: c.by, Rows: c.rows}
	for i, field := range c.by {
		switch known := admin.TopFields(); {
		case !slices.Contains(known, field):
			return usageError("--by: %q is not one of %s%s", field, strings.Join(known, ", "), didYouMean(field, known))
		case slices.Contains(c.by[:i], field):
			return usageError("--by: %s is there twice", field)
		}
	}
	if c.rows < 1 || c.rows > admin.MaxTopRows {
		return usageError("--rows: must be from 1 to %d, not %d", admin.MaxTopRows, c.rows)
	}
	if c.method != "" {
		var err error
		if q.Service, q.Method, err = methodArg(c.method); err != nil {
			return err
		}
	}
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	return (&refresh{&c.printer, host, c.watch}).run(cmd.Context(), func(ctx context.Context) (func() error, error) {
		t, err := host.Top(ctx, q)
		if err == nil && t.Calls == 0 && q.Method != "" { // the method may not exist
			_, err = host.Explain(ctx, admin.ExplainQuery{Service: q.Service, Method: q.Method})
		}
		return func() error { return c.print(t, func() { c.text(t) }) }, err
	})
}

func (c *topCommand) text(t *admin.Top) {
	if t.Calls == 0 {
		of := ""
		if c.method != "" {
			of = " of " + c.method
		}
		c.line("no calls%s in the last five minutes", of)
		return
	}
	var titles []string
	for _, field := range t.By {
		titles = append(titles, strings.ToUpper(field))
	}
	figures := trafficTable{&c.printer}
	rows := [][]string{append(titles, "CALLS/S", "SHARE", "CALLS", "REFUSED", "FAILED", "LATENCY")}
	for i := range t.Rows {
		r := &t.Rows[i]
		var row []string
		for _, field := range t.By {
			row = append(row, topField(r, field))
		}
		rows = append(rows, append(row, fmt.Sprintf("%.1f", r.CallsPerSecond), fmt.Sprintf("%.1f %%", 100*r.Share), fmt.Sprint(r.Calls),
			figures.notable(yellow, r.Refused), figures.notable(red, r.Failed), quantile(r.Mean)))
	}
	c.titled(rows)
	if t.More > 0 {
		c.line("and %d more: easymicro top -n %d", t.More, len(t.Rows)+t.More)
	}
}

// topField formats a field of a row.
func topField(r *admin.TopRow, field string) string {
	text := map[string]string{admin.ByCaller: r.Caller, admin.ByMethod: strings.Replace(r.Method, "/", ".", 1), admin.ByPeer: r.Peer}[field]
	if text == "" && r.Others {
		return "others"
	}
	return orDash(text)
}
