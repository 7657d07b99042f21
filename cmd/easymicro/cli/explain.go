package cli

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"

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
