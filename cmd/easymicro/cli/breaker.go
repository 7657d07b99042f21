package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/policies"
)

const breakerNeed = "one argument: RULE, RULE/METHOD or RULE/ENDPOINT; easymicro breaker list shows the names"

func newBreaker(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "breaker",
		Short: "Show circuit breakers; open, close and reset them",
		Long: `breaker shows the circuit breakers of the rules in force, and acts on them. A breaker is named RULE/METHOD or, for calls to
an upstream, RULE/ENDPOINT, RULE/METHOD or RULE/UPSTREAM, depending on its scope. RULE alone means all breakers of a
rule, including those made later.

open and close keep a breaker in a state until the end of --for, whatever the calls return. reset closes it at once,
without an end, and forgets what it has counted: it opens again if calls keep failing.`,
		Example: `  easymicro breaker list
  easymicro breaker show billing-calls/127.0.0.1:8972
  easymicro breaker open arith-mul`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			var known []string
			for _, c := range cmd.Commands() {
				known = append(known, c.Name())
			}
			return usageError("breaker has no command %q%s: one of list, show, open, close, reset\nsee: %s --help",
				args[0], didYouMean(args[0], known), cmd.CommandPath())
		},
		Args: cobra.ArbitraryArgs,
	}
	cmd.AddGroup(&cobra.Group{ID: "breaker", Title: "Commands"})
	for _, c := range []*cobra.Command{newBreakerList(a), newBreakerShow(a), newBreakerOpen(a), newBreakerClose(a), newBreakerReset(a)} {
		c.GroupID = "breaker"
		cmd.AddCommand(c)
	}
	return cmd
}

func newBreakerList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list [RULE]",
		Short: "Show the breakers with their state",
		Long: `list shows the breakers of all rules or of one: the state and since when, how many calls failed in the window or as probes,
until when it is kept in that state by command, and what opened it last. Breakers of calls to upstreams are made by the
first call.`,
		Example: `  easymicro breaker list
  easymicro breaker list billing-calls
  easymicro breaker list -o json | jq '.[] | select(.state != "closed").name'`,
		Args:              argRange(0, 1, "at most one argument: RULE, RULE/METHOD or RULE/ENDPOINT"),
		ValidArgsFunction: firstArgument(a, breakerWords),
		RunE: func(cmd *cobra.Command, args []string) error {
			return showBreakers(cmd, a, strings.Join(args, ""), func(host *hostClient, list []admin.Breaker) {
				if len(list) == 0 {
					noBreakers(cmd.Context(), a, host)
					return
				}
				a.titled(withoutEmpty(breakerRows(&a.printer, list), "MODE", "KEPT UNTIL"))
			})
		},
	}
}

func newBreakerShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show a breaker with what opened it, its probes and the last outcomes",
		Long: `show shows a breaker, or all breakers of a rule: since when it is in its state and why, its probes, the outcomes of the last
calls with the last failure, and how often it has changed its state.`,
		Example: `  easymicro breaker show arith-mul
  easymicro breaker show arith-mul/Arith.Mul -o json`,
		Args:              argRange(1, 1, breakerNeed),
		ValidArgsFunction: firstArgument(a, breakerWords),
		RunE: func(cmd *cobra.Command, args []string) error {
			return showBreakers(cmd, a, args[0], func(_ *hostClient, list []admin.Breaker) {
				if len(list) == 0 {
					a.line("%s has no breaker yet: it is made by the first call", args[0])
				}
				for i := range list {
					if i > 0 {
						a.line("")
					}
					breakerText(&a.printer, &list[i])
				}
			})
		},
	}
}

// noBreakers writes why the list is empty.
func noBreakers(ctx context.Context, a *app, host *hostClient) {
	list, _ := host.Overrides(ctx) // without, the reason is more general
	for i := range list {
		if x := &list[i]; x.Kind == string(config.KindCircuitBreaker) {
			a.line("%s; easymicro override drop %s ends it now", overrideText(&a.printer, x), x.Name)
			return
		}
	}
	a.line("no circuit breakers: no rule in force has circuitBreaker, or no upstream was called yet")
}

func showBreakers(cmd *cobra.Command, a *app, name string, text func(*hostClient, []admin.Breaker)) error {
	host, err := newHostClient(a)
	if err != nil {
		return err
	}
	list, err := host.Breakers(cmd.Context(), name)
	if err != nil {
		return host.failed(err)
	}
	return a.print(list, func() { text(host, list) })
}

func newBreakerOpen(a *app) *cobra.Command {
	return newBreakerHold(a, admin.BreakerOpen, &cobra.Command{
		Use:   "open NAME",
		Short: "Keep a breaker open for a while: calls are refused",
		Long: `open refuses the calls that the breaker decides on, at once and until the end of --for, with UNAVAILABLE and the reason
breaker_open, as if it had opened by itself; other endpoints of an upstream are still called. At its end, or after override
drop, the breaker is half-open and lets probes through. autoRollback never undoes it, and with host.state it stays in force
over restarts.`,
		Example: `  easymicro breaker open billing-calls/127.0.0.1:8972 --for 15m -m "node is sick, ticket 4711"
  easymicro breaker open arith-mul/Arith.Mul
  easymicro override drop breaker.arith-mul.Arith.Mul`,
	})
}

func newBreakerClose(a *app) *cobra.Command {
	return newBreakerHold(a, admin.BreakerClosed, &cobra.Command{
		Use:   "close NAME",
		Short: "Keep a breaker closed for a while, whatever fails",
		Long: `close closes the breaker at once and keeps it closed until the end of --for, however many calls fail. From then on it
decides by itself again. autoRollback never undoes it, and with host.state it stays in force over restarts.`,
		Example: `  easymicro breaker close arith-mul --for 5m -m "flaps, ticket 4711"
  easymicro override drop breaker.arith-mul`,
	})
}

// newBreakerHold completes a command that keeps breakers in a state.
func newBreakerHold(a *app, state string, cmd *cobra.Command) *cobra.Command {
	c := &overrideCommand{app: a, q: admin.OverrideRequest{Action: admin.ActionBreaker, State: state}}
	cmd.Args = argRange(1, 1, breakerNeed)
	cmd.ValidArgsFunction = firstArgument(a, breakerWords)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c.q.Breaker = args[0]
		return c.run(cmd)
	}
	c.flags(cmd)
	return cmd
}

func newBreakerReset(a *app) *cobra.Command {
	message := ""
	cmd := &cobra.Command{
		Use:   "reset NAME",
		Short: "Close a breaker and forget what it has counted",
		Long: `reset closes a breaker, or all breakers of a rule, and forgets the calls that they have counted. From then on they
decide by themselves as before. One that is kept open or closed by command is not reset: override drop ends that first.`,
		Example: `  easymicro breaker reset arith-mul -m "the database is back"
  easymicro breaker reset billing-calls/127.0.0.1:8972`,
		Args:              argRange(1, 1, breakerNeed),
		ValidArgsFunction: firstArgument(a, breakerWords),
		RunE: func(cmd *cobra.Command, args []string) error {
			host, err := newHostClient(a)
			if err != nil {
				return err
			}
			list, err := host.ResetBreaker(cmd.Context(), args[0], message)
			if err != nil {
				return host.failed(err)
			}
			return a.print(list, func() { a.line("reset %s: %s", args[0], count(len(list), "breaker")) })
		},
	}
	cmd.Flags().StringVarP(&message, "message", "m", "", "`REASON` for the log and the audit log")
	_ = cmd.RegisterFlagCompletionFunc("message", cobra.NoFileCompletions)
	return cmd
}

// breakerColours highlights states of breakers that refuse calls.
var breakerColours = map[string]paint{"open": red, "half_open": yellow}

// breakerState returns the state of a breaker, highlighted if it refuses calls.
func breakerState(p *printer, b *policies.BreakerStats) string {
	state := strings.ReplaceAll(b.State, "_", "-")
	if b.Mode == modeShadow {
		return state
	}
	return p.paint(breakerColours[b.State], state)
}

func breakerRows(p *printer, list []admin.Breaker) [][]string {
	shadow := slices.ContainsFunc(list, func(b admin.Breaker) bool { return b.Mode == modeShadow })
	rows := [][]string{{"BREAKER", "STATE", "MODE", "SINCE", "FAILED", "KEPT UNTIL", "CAUSE"}}
	for i := range list {
		b := &list[i]
		kept, cause := "", b.Cause
		if !b.HeldUntil.IsZero() {
			kept, cause = until(b.HeldUntil), b.HeldBy
		}
		rows = append(rows, []string{
			b.Name, breakerState(p, &b.BreakerStats), modeWhere(shadow, string(b.Mode)), ago(b.Since), fmt.Sprintf("%d of %d", b.Failures, b.Calls),
			orDash(kept), orDash(cause),
		})
	}
	return rows
}

// breakerText writes all about a breaker.
func breakerText(p *printer, b *admin.Breaker) {
	closed := b.State == "closed"
	p.line("%s   %s   %s", p.paint(bold, b.Name), breakerState(p, &b.BreakerStats), ago(b.Since))
	var rows [][]string
	add := func(what, text string) {
		if text != "" {
			rows = append(rows, []string{"  " + what, text})
		}
	}
	if b.Mode == modeShadow {
		add("mode", "shadow: it refuses nothing")
	}
	if !b.HeldUntil.IsZero() {
		add("kept", fmt.Sprintf("until %s, %s; easymicro override drop %s ends it now", until(b.HeldUntil), b.HeldBy, b.Override))
	}
	if closed {
		add("opened last", b.Cause)
		add("calls", fmt.Sprintf("%d of %d failed in the window", b.Failures, b.Calls))
	} else {
		add("opened", b.Cause)
		add("probes", fmt.Sprintf("%d succeeded, %d in flight; %d in a row close it", b.Calls-b.Failures, b.Probing, b.Probes))
	}
	if !b.OpenUntil.IsZero() {
		add("next probe", "in "+span(time.Until(b.OpenUntil)))
	}
	add("last calls", strings.Join(b.Outcomes, " "))
	add("last failure", b.LastFailure)
	add("changes", fmt.Sprintf("opened %d, half-open %d, closed %d times", b.Transitions["open"], b.Transitions["half_open"], b.Transitions["closed"]))
	p.table(rows)
}

// breakerWords completes the names of rules with breakers, and of breakers.
func breakerWords(ctx context.Context, c *admin.Client, _ string) (words []string) {
	list, err := c.Breakers(ctx, "")
	if err != nil {
		return nil
	}
	for i := range list {
		b := &list[i]
		if rule := b.Rule + "\tall breakers of the rule"; !slices.Contains(words, rule) {
			words = append(words, rule)
		}
		words = append(words, b.Name+"\t"+b.State)
	}
	return words
}
