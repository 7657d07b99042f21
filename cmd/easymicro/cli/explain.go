package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/policies"
)

// explainCommand shows the rules that apply to a call, or one rule.
type explainCommand struct {
	*app
	caller, peer string
	claims       []string
	upstream     bool
}

func newExplain(a *app) *cobra.Command {
	c := &explainCommand{app: a}
	cmd := &cobra.Command{
		Use:   "explain SERVICE.METHOD | RULE[@rN]",
		Short: "Explain which rules apply to a call, in evaluation order, and why others do not",
		Long: `explain shows each rule that applies to a call, in evaluation order, with its location in the files, its live state and its
decisions so far, and then the rules that do not apply, with the reason. With RULE@rN it shows a rule as of a revision, such
as the one that a refusal names; with RULE alone, as it is now. If the service is an upstream of the host, it explains the
calls that the handlers make; use --upstream if a service has the same name.

SERVICE/METHOD, as in logs, metrics and spans, is accepted too, by every command that takes a method.`,
		Example: `  easymicro explain Arith.Mul
  easymicro explain Arith.Mul --caller partner-1 --peer 10.0.0.7
  easymicro explain Arith.Mul --caller partner-1 --identity-claim tenant=acme
  easymicro explain billing.GetInvoice --upstream
  easymicro explain arith-mul@r2`,
		Args:              argRange(1, 1, "one argument: SERVICE.METHOD, RULE or RULE@rN"),
		ValidArgsFunction: firstArgument(a, ruleWords),
		RunE:              c.run,
	}
	cmd.Flags().StringVar(&c.caller, "caller", "", "caller `NAME` (default: anonymous)")
	cmd.Flags().StringArrayVar(&c.claims, "identity-claim", nil, "claim of the caller that rules match, as `NAME=VALUE`; repeatable")
	cmd.Flags().StringVar(&c.peer, "peer", "", "`IP` address that the call comes from")
	cmd.Flags().BoolVar(&c.upstream, "upstream", false, "SERVICE is an upstream: explain the calls to it")
	_ = cmd.RegisterFlagCompletionFunc("caller", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("peer", cobra.NoFileCompletions)
	_ = cmd.RegisterFlagCompletionFunc("identity-claim", cobra.NoFileCompletions)
	return cmd
}

func (c *explainCommand) run(cmd *cobra.Command, args []string) error {
	if strings.Contains(args[0], "@") || !strings.ContainsAny(args[0], "./") {
		for _, flag := range []string{"caller", "identity-claim", "peer", "upstream"} {
			if cmd.Flags().Changed(flag) {
				return usageError("--%s needs a method, and %q is not one: write SERVICE.METHOD", flag, args[0])
			}
		}
		return c.explainRule(cmd.Context(), args[0])
	}
	q, err := c.query(args[0])
	if err != nil {
		return err
	}
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	x, err := host.Explain(cmd.Context(), q)
	if err != nil && cmd.Flags().NFlag() == cmd.InheritedFlags().NFlag() {
		if rule, notRule := host.ExplainRule(cmd.Context(), args[0], 0); notRule == nil { // names of rules may have dots
			return c.print(rule, func() { c.ruleText(rule) })
		}
	}
	if err != nil {
		return host.failed(err)
	}
	return c.print(x, func() { c.text(x) })
}

func (c *explainCommand) query(method string) (q admin.ExplainQuery, err error) {
	q.Caller = c.caller
	if q.Service, q.Method, err = methodArg(method); err != nil {
		return q, err
	}
	if c.upstream {
		q.Upstream, q.Service = q.Service, ""
	}
	for _, claim := range c.claims {
		name, value, ok := strings.Cut(claim, "=")
		if !ok || name == "" || value == "" {
			return q, usageError("--identity-claim %q is not NAME=VALUE", claim)
		}
		if q.Identity == nil {
			q.Identity = make(map[string]string)
		}
		q.Identity[name] = value
	}
	if len(c.claims) > 0 && (c.caller == "" || c.upstream) {
		return q, usageError("--identity-claim is for calls of a caller to this host: add --caller NAME, without --upstream")
	}
	if c.peer == "" {
		return q, nil
	}
	if q.Peer, err = netip.ParseAddr(c.peer); err != nil {
		return q, usageError("--peer: %q is not an IP address", c.peer)
	}
	return q, nil
}

// explainRule shows a rule of a given revision, or its current version.
func (c *explainCommand) explainRule(ctx context.Context, arg string) error {
	name, rev, past := strings.Cut(arg, "@")
	number, err := strconv.Atoi(strings.TrimPrefix(rev, "r"))
	if past && (err != nil || number < 1) || name == "" {
		return usageError("%q is not a rule of a revision: write RULE@rN, e.g. arith-mul@r2", arg)
	}
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	x, err := host.ExplainRule(ctx, name, number)
	if answered, ok := errors.AsType[*admin.Error](err); ok && answered.Code == admin.CodeNotFound && !past {
		answered.Help += "; write methods as SERVICE.METHOD"
	}
	if err != nil {
		return host.failed(err)
	}
	return c.print(x, func() { c.ruleText(x) })
}

// text shows the rules that apply, in evaluation order, and then those that do not.
func (c *explainCommand) text(x *admin.Explanation) {
	from := ""
	for _, name := range slices.Sorted(maps.Keys(x.Identity)) {
		from += ", " + name + " " + x.Identity[name]
	}
	if x.Peer != "" {
		from = " from " + x.Peer
	}
	applying, others := 0, 0
	for i := range x.Kinds {
		applying += len(x.Kinds[i].Applies)
		others += len(x.Kinds[i].Losers)
	}
	name, none := x.Service+"."+x.Method, "no rule applies: the call goes straight to its handler"
	if x.Upstream != "" {
		name, none = x.Upstream+"."+x.Method, "no rule applies: the call is sent once"
		from += ", to upstream " + x.Upstream + " (service " + x.Service + ")"
	}
	c.line("%s called by %s%s, under r%d", c.paint(bold, name), c.paint(bold, x.Caller), from, x.Revision)
	fallbackText(&c.printer, x.Fallback)
	for i := range x.Overrides {
		c.line("%s", overrideText(&c.printer, &x.Overrides[i]))
	}
	if len(x.Around) > 0 {
		c.line("interceptors: %s", strings.Join(x.Around, ", "))
	}
	if applying == 0 {
		c.line("%s", none)
	}
	c.appliedText(x.Kinds)
	if others == 0 {
		return
	}
	c.line("")
	c.line("do not apply")
	rows := [][]string{}
	for i := range x.Kinds {
		for _, r := range x.Kinds[i].Losers {
			name := r.Rule
			if r.Mode == modeShadow {
				name += " (shadow)"
			}
			rows = append(rows, []string{"   " + string(x.Kinds[i].Kind), name, c.paint(dim, r.Position), r.Reason})
		}
	}
	c.table(rows)
}

// appliedText numbers the rules that apply, each with its setting and state below it.
func (c *explainCommand) appliedText(kinds []policies.KindExplanation) {
	heads := [][]string{}
	var below [][]string
	for i := range kinds {
		for _, r := range kinds[i].Applies {
			n := fmt.Sprintf("%2d", len(heads)+1)
			heads = append(heads, []string{n, c.paint(bold, string(kinds[i].Kind)), c.paint(bold, r.Rule), r.Position, c.paint(yellow, modeText(&r))})
			below = append(below, []string{r.Setting, now(&r)})
		}
	}
	if len(heads) == 0 {
		return
	}
	for i, line := range aligned(heads) {
		c.line("")
		c.line("%s", line)
		for _, detail := range below[i] {
			c.line("     %s", detail)
		}
	}
}

// now returns the live state of a rule and its decisions so far.
func now(r *policies.AppliedRule) string {
	if r.State == "" {
		return decisions(r.Decisions)
	}
	return r.State + "; " + decisions(r.Decisions)
}

func modeText(r *policies.AppliedRule) string {
	switch {
	case r.Status == policies.StatusBroken:
		return "BROKEN: " + r.Detail
	case r.EnforceShare != "" && r.Enforced:
		return "enforced for " + r.EnforceShare + " of the callers, including this one"
	case r.EnforceShare != "":
		return "enforced for " + r.EnforceShare + " of the callers, not including this one"
	case r.Mode != "enforce":
		return string(r.Mode) + ": evaluated and counted, not enforced"
	}
	return ""
}

func decisions(d policies.Decisions) string {
	var parts []string
	for _, p := range []struct {
		n    uint64
		what string
	}{{d.Allow, "allowed"}, {d.Reject, "refused"}, {d.Wait, "queued"}, {d.ShadowReject, "would have been refused"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return "not evaluated yet"
	}
	return strings.Join(parts, ", ")
}

// statusText shows the status of a rule, unless its mode says as much.
func (c *explainCommand) statusText(r *policies.RuleState) {
	switch r.Status {
	case "", policies.StatusEnforced, policies.StatusShadow, policies.StatusOff:
		return
	}
	text := r.Status
	if r.Detail != "" {
		text += " (" + r.Detail + ")"
	}
	c.line("status %s", c.paint(yellow, text))
}

// ruleText shows a rule of a given revision.
func (c *explainCommand) ruleText(x *admin.RuleExplanation) {
	status := x.Status
	if status != "in force" {
		status = c.paint(yellow, status)
	}
	c.line("%s   %s   %s", c.paint(bold, fmt.Sprintf("%s@r%d", x.Rule.Name, x.Revision)), x.Rule.Position, status)
	c.line("applied %s", ago(x.AppliedAt))
	if x.Rule.Description != "" {
		c.line("%s", x.Rule.Description)
	}
	if x.Rule.Mode != "enforce" {
		c.line("mode %s", x.Rule.Mode)
	}
	c.statusText(&x.Rule)
	if !x.Rule.Expires.IsZero() {
		c.line("expires %s", x.Rule.Expires.Format(time.RFC3339))
	}
	c.line("")
	rows := [][]string{}
	for _, k := range x.Rule.Kinds {
		rows = append(rows, []string{"  " + c.paint(bold, string(k.Kind)), k.Position, orDash(k.Setting), k.State})
	}
	c.table(rows)
}
