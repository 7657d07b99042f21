package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

func (a *app) explain() *cobra.Command {
	var caller, peer string
	var upstream bool
	cmd := &cobra.Command{
		Use:   "explain SERVICE.METHOD | RULE[@REV]",
		Short: "Which rules decide about a call, in order, and which do not and why",
		Long: `explain shows each rule that applies to a call, in the order in which it is asked, with its place in the files, its live
state and what it decided so far; and the rules that do not apply, with the reason. With RULE@rN it shows a rule as it was in
a revision, such as the one that a refusal names, and with RULE alone as it is now. A name that is an upstream of the host,
and no service, stands for the calls that its handlers make; --upstream says so where it is both.

SERVICE/METHOD, as logs, metrics and spans have it, is taken too, here and by every command that takes a method.`,
		Example: `  easymicro explain Arith.Mul
  easymicro explain Arith.Mul --caller partner-1 --peer 10.0.0.7
  easymicro explain billing.GetInvoice --upstream
  easymicro explain arith-mul@r2`,
		Args:              oneArg("SERVICE.METHOD, RULE or RULE@rN"),
		ValidArgsFunction: a.first(ruleWords),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.Contains(args[0], "@") || !strings.ContainsAny(args[0], "./") {
				for _, flag := range []string{"caller", "peer", "upstream"} {
					if cmd.Flags().Changed(flag) {
						return usageError("--%s is about calls, and %q is no method: write SERVICE.METHOD", flag, args[0])
					}
				}
				return a.explainRule(cmd.Context(), args[0])
			}
			q, err := explainQuery(args[0], caller, peer)
			if err != nil {
				return err
			}
			if upstream {
				q.Upstream, q.Service = q.Service, ""
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			x, err := c.Explain(cmd.Context(), q)
			if err != nil {
				return a.hostError(err)
			}
			return a.print(x, func() { a.explanationText(x) })
		},
	}
	cmd.Flags().StringVar(&caller, "caller", "", "`NAME` of who calls (default: anonymous)")
	cmd.Flags().StringVar(&peer, "peer", "", "`IP` address that the call comes from")
	cmd.Flags().BoolVar(&upstream, "upstream", false, "SERVICE is the name of an upstream: the rules of calls to it")
	_ = cmd.RegisterFlagCompletionFunc("caller", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("peer", cobra.NoFileCompletions)
	return cmd
}

func explainQuery(arg, caller, peer string) (q admin.ExplainQuery, err error) {
	q.Caller = caller
	if q.Service, q.Method, err = methodArg(arg); err != nil || peer == "" {
		return q, err
	}
	if q.Peer, err = netip.ParseAddr(peer); err != nil {
		return q, usageError("--peer: %q is no IP address", peer)
	}
	return q, nil
}

// explainRule shows a rule as it was in a revision, or without one as it is.
func (a *app) explainRule(ctx context.Context, arg string) error {
	name, rev, past := strings.Cut(arg, "@")
	number, err := strconv.Atoi(strings.TrimPrefix(rev, "r"))
	if past && (err != nil || number < 1) || name == "" {
		return usageError("%q names no rule of a revision: write RULE@rN, such as arith-mul@r2", arg)
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	x, err := c.ExplainRule(ctx, name, number)
	var answered *admin.Error
	if errors.As(err, &answered) && answered.Code == admin.CodeNotFound && !past {
		answered.Help += "; a method is written SERVICE.METHOD"
	}
	if err != nil {
		return a.hostError(err)
	}
	return a.print(x, func() { a.ruleText(x) })
}

// explanationText has the kinds in the order in which a server asks, the rules of each below it, and the rules that do
// not apply at the end.
func (a *app) explanationText(x *admin.Explanation) {
	from := ""
	if x.Peer != "" {
		from = " from " + x.Peer
	}
	asked, lost := 0, 0
	for i := range x.Kinds {
		asked += len(x.Kinds[i].Applies)
		lost += len(x.Kinds[i].Losers)
	}
	name, nobody := x.Service+"."+x.Method, "no rule applies: the call goes to its handler"
	if x.Upstream != "" {
		name, nobody = x.Upstream+"."+x.Method, "no rule applies: the call is sent once"
		from += ", to the upstream " + x.Upstream + " (service " + x.Service + ")"
	}
	a.line("%s called by %s%s, under r%d", a.paint(bold, name), a.paint(bold, x.Caller), from, x.Revision)
	a.standInText(x.StandIn)
	if asked == 0 {
		a.line("%s", nobody)
	}
	a.askedText(x.Kinds)
	if lost == 0 {
		return
	}
	a.line("")
	a.line("do not apply")
	rows := [][]string{}
	for i := range x.Kinds {
		for _, r := range x.Kinds[i].Losers {
			rows = append(rows, []string{"   " + x.Kinds[i].Kind, r.Rule, a.paint(dim, r.Position), r.Reason})
		}
	}
	a.table(rows)
}

// askedText numbers the rules that apply. Setting and state stand below each, because they are long.
func (a *app) askedText(kinds []admin.KindExplanation) {
	heads := [][]string{}
	var below [][]string
	for i := range kinds {
		for _, r := range kinds[i].Applies {
			n := fmt.Sprintf("%2d", len(heads)+1)
			heads = append(heads, []string{n, a.paint(bold, kinds[i].Kind), a.paint(bold, r.Rule), r.Position, a.paint(yellow, modeText(&r))})
			below = append(below, []string{r.Setting, now(&r)})
		}
	}
	if len(heads) == 0 {
		return
	}
	for i, line := range aligned(heads) {
		a.line("")
		a.line("%s", line)
		for _, detail := range below[i] {
			a.line("     %s", detail)
		}
	}
}

// now is the live state of a rule and what it decided so far.
func now(r *admin.AppliedRule) string {
	if r.State == "" {
		return decisions(r.Decisions)
	}
	return r.State + "; " + decisions(r.Decisions)
}

func modeText(r *admin.AppliedRule) string {
	switch {
	case r.EnforceShare != "" && r.Enforced:
		return "enforced for a share of " + r.EnforceShare + ", this caller among them"
	case r.EnforceShare != "":
		return "enforced for a share of " + r.EnforceShare + ", this caller not among them"
	case r.Mode != "enforce":
		return r.Mode + ": counts and refuses nothing"
	}
	return ""
}

func decisions(d admin.Decisions) string {
	var parts []string
	for _, p := range []struct {
		n    uint64
		what string
	}{{d.Allow, "allowed"}, {d.Reject, "refused"}, {d.Wait, "had to wait"}, {d.ShadowReject, "would have been refused"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return "not asked yet"
	}
	return strings.Join(parts, ", ")
}

// ruleText is a rule as it was in a revision.
func (a *app) ruleText(x *admin.RuleExplanation) {
	fate := x.Status
	if fate != "in force" {
		fate = a.paint(yellow, fate)
	}
	a.line("%s   %s   %s", a.paint(bold, fmt.Sprintf("%s@r%d", x.Rule.Name, x.Revision)), x.Rule.Position, fate)
	a.line("applied %s", ago(x.AppliedAt))
	if x.Rule.Description != "" {
		a.line("%s", x.Rule.Description)
	}
	if x.Rule.Mode != "enforce" {
		a.line("mode %s", x.Rule.Mode)
	}
	if !x.Rule.Expires.IsZero() {
		a.line("expires %s", x.Rule.Expires.Format(time.RFC3339))
	}
	a.line("")
	rows := [][]string{}
	for _, k := range x.Rule.Kinds {
		rows = append(rows, []string{"  " + a.paint(bold, k.Kind), k.Position, orDash(k.Setting), k.State})
	}
	a.table(rows)
}
