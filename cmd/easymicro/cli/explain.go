package cli

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

func (a *app) explain() *cobra.Command {
	var caller, peer string
	cmd := &cobra.Command{
		Use:   "explain SERVICE.METHOD | RULE@REV",
		Short: "Which rules decide about a call, in order, and which do not and why",
		Long: `explain shows each rule that applies to a call, in the order in which it is asked, with its place in the files and its
live state, and the rules that lost with the reason. With RULE@rN it shows a rule as it was in a revision, such as the one
that a refusal names.`,
		Example: `  easymicro explain Arith.Mul
  easymicro explain Arith.Mul --caller partner-1
  easymicro explain arith-mul@r2`,
		Args:              oneArg("SERVICE.METHOD or RULE@rN"),
		ValidArgsFunction: a.completeMethods,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			if name, rev, ok := strings.Cut(args[0], "@"); ok {
				return a.explainRule(cmd, c, name, rev)
			}
			q := admin.ExplainQuery{Caller: caller}
			if q.Service, q.Method, err = methodArg(args[0]); err != nil {
				return err
			}
			if peer != "" {
				if q.Peer, err = netip.ParseAddr(peer); err != nil {
					return usageError("--peer: %w", err)
				}
			}
			x, err := c.Explain(cmd.Context(), q)
			if err != nil {
				return hostError(err)
			}
			return a.print(x, func() { a.explanationText(x) })
		},
	}
	cmd.Flags().StringVar(&caller, "caller", "", "the caller (default: anonymous)")
	cmd.Flags().StringVar(&peer, "peer", "", "the address that the call comes from")
	return cmd
}

func (a *app) explanationText(x *admin.Explanation) {
	from := ""
	if x.Peer != "" {
		from = " from " + x.Peer
	}
	a.line("%s.%s called by %s%s, under r%d", x.Service, x.Method, x.Caller, from, x.Revision)
	if len(x.Kinds) == 0 {
		a.line("no rule applies")
		return
	}
	for _, k := range x.Kinds {
		a.line("")
		a.line("%s", k.Kind)
		rows := [][]string{}
		for _, r := range k.Applies {
			rows = append(rows, []string{"  " + r.Rule, r.Position, r.Setting, orDash(r.State), decisions(r.Decisions), modeText(r)})
		}
		for _, r := range k.Losers {
			rows = append(rows, []string{"  not " + r.Rule, r.Position, r.Reason})
		}
		a.table(rows)
	}
}

func modeText(r admin.AppliedRule) string {
	text := ""
	if r.Mode != "enforce" {
		text = r.Mode
	}
	if r.EnforceShare != "" {
		text = "enforced for " + r.EnforceShare
		if !r.Enforced {
			text += ", not for this caller"
		}
	}
	return text
}

func decisions(d admin.Decisions) string {
	text := fmt.Sprintf("%d allowed, %d refused", d.Allow, d.Reject)
	if d.Wait > 0 {
		text += fmt.Sprintf(", %d waited", d.Wait)
	}
	if d.ShadowReject > 0 {
		text += fmt.Sprintf(", %d would have been refused", d.ShadowReject)
	}
	return text
}

func (a *app) explainRule(cmd *cobra.Command, c *admin.Client, name, rev string) error {
	number, err := strconv.Atoi(strings.TrimPrefix(rev, "r"))
	if err != nil || number < 1 {
		return usageError("%q is no revision: write RULE@r2", rev)
	}
	x, err := c.ExplainRule(cmd.Context(), name, number)
	if err != nil {
		return hostError(err)
	}
	return a.print(x, func() {
		a.line("%s in r%d (applied %s)   %s   %s", x.Rule.Name, x.Revision, ago(x.AppliedAt), x.Rule.Position, x.Status)
		if x.Rule.Description != "" {
			a.line("%s", x.Rule.Description)
		}
		rows := [][]string{}
		for _, k := range x.Rule.Kinds {
			rows = append(rows, []string{"  " + k.Kind, k.Position, k.Setting, orDash(k.State)})
		}
		a.table(rows)
	})
}
