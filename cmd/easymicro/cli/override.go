package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

func newOverrideList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "Show the overrides in force",
		Long:  `list shows what limit, block, override, bypass and breaker have put in force, until when, by whom and why.`,
		Example: `  easymicro override list
  easymicro override list -o json | jq -r '.[].rule'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			host, err := newHostClient(a)
			if err != nil {
				return err
			}
			list, err := host.Overrides(cmd.Context())
			if err != nil {
				return host.failed(err)
			}
			return a.print(list, func() {
				if len(list) == 0 {
					a.line("no override is in force")
					return
				}
				a.titled(overrideRows(list))
			})
		},
	}
}

func newOverrideDrop(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "drop NAME",
		Short: "End an override now",
		Long: `drop ends an override of limit, block, override, bypass or breaker before its time. Its rule or value in the files is in
force again.`,
		Example: `  easymicro override drop limit.partner-7.Arith.Mul
  easymicro override drop arith-mul.rateLimit.rate`,
		Args:              argRange(1, 1, "one argument: the name of an override; easymicro override list shows them"),
		ValidArgsFunction: firstArgument(a, overrideWords),
		RunE: func(cmd *cobra.Command, args []string) error {
			host, err := newHostClient(a)
			if err != nil {
				return err
			}
			r, err := host.DropOverride(cmd.Context(), args[0])
			if err != nil {
				return reloadError(host, err)
			}
			return a.print(r, func() {
				(&putInForce{app: a}).text(&r.Revision)
				a.line("%s: dropped", args[0])
			})
		},
	}
}

// overrideRows returns a table of overrides.
func overrideRows(list []admin.Override) [][]string {
	rows := [][]string{{"OVERRIDE", "DOES", "ENDS", "BY", "WHY"}}
	for i := range list {
		x := &list[i]
		rows = append(rows, []string{x.Name, x.Text, "in " + span(time.Until(x.Until)), orDash(x.Who), orDash(x.Why)})
	}
	return rows
}

// overrideText returns the line about an override.
func overrideText(p *printer, x *admin.Override) string {
	text := fmt.Sprintf("%s %s: %s, until %s, by %s", p.paint(yellow, "override"), x.Name, x.Text, until(x.Until), orDash(x.Who))
	if x.Why != "" {
		text += ": " + x.Why
	}
	return text
}

// until formats the end of an override: a time of day, with the date if that is a day or more ahead.
func until(t time.Time) string {
	if time.Until(t) < 24*time.Hour {
		return t.Local().Format(time.TimeOnly)
	}
	return t.Local().Format(time.DateTime)
}

func overrideWords(ctx context.Context, c *admin.Client, _ string) (words []string) {
	list, err := c.Overrides(ctx)
	if err != nil {
		return nil
	}
	for i := range list {
		words = append(words, list[i].Name+"\t"+list[i].Text)
	}
	return words
}

func bareRuleWords(ctx context.Context, c *admin.Client, _ string) (words []string) {
	rules, err := c.Rules(ctx)
	if err != nil {
		return nil
	}
	for i := range rules {
		words = append(words, rules[i].Name+"\t"+rules[i].Position)
	}
	return words
}
