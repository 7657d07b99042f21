package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

// defaultOverride is how long an override is in force unless --for says otherwise.
const defaultOverride = 15 * time.Minute

// overrideCommand puts an override in force.
type overrideCommand struct {
	*app
	q   admin.OverrideRequest
	end time.Duration
}

// flags adds the flags that all overrides have.
func (c *overrideCommand) flags(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&c.end, "for", defaultOverride, "how long; it ends by itself after this `TIME`")
	cmd.Flags().Lookup("for").DefValue = config.Duration(defaultOverride).String()
	cmd.Flags().StringVarP(&c.q.Message, "message", "m", "", "`REASON` for the history and the audit log")
	_ = cmd.RegisterFlagCompletionFunc("for", fixed("5m", "15m", "1h"))
	_ = cmd.RegisterFlagCompletionFunc("message", cobra.NoFileCompletions)
}

// calls completes a command about the calls of a method by caller and peer. check checks its flags.
func (c *overrideCommand) calls(cmd *cobra.Command, check func() error) {
	cmd.Args = argRange(1, 1, `one argument: SERVICE.METHOD, SERVICE.* or "*"`)
	cmd.ValidArgsFunction = firstArgument(c.app, methodWords)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := check(); err != nil {
			return err
		}
		c.q.Method = args[0]
		return c.run(cmd)
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&c.q.Caller, "caller", "", "only calls of the caller `NAME`, or of a pattern such as partner-*")
	cmd.Flags().StringVar(&c.q.Peer, "peer", "", "only calls from the `ADDRESS` or network")
	_ = cmd.RegisterFlagCompletionFunc("caller", topWords(c.app, admin.ByCaller))
	_ = cmd.RegisterFlagCompletionFunc("peer", topWords(c.app, admin.ByPeer))
}

func newLimit(a *app) *cobra.Command {
	c := &overrideCommand{app: a, q: admin.OverrideRequest{Action: admin.ActionLimit}}
	cmd := &cobra.Command{
		Use:   "limit METHOD [--caller NAME] --rate RATE",
		Short: "Limit the calls of a caller for a while",
		Long: `limit puts a rate limit in force at once, in addition to the rules of the files: for a caller, a peer, or all calls of a method.
METHOD is SERVICE.METHOD, SERVICE.* or "*". The limit ends by itself, and stays in force over edits of the files and, with
host.state in the manifest, over restarts. Running the command again with another rate changes it. It shows the rule to put
in a policy file: once the files have a rule of that name, the limit of the command has ended.

autoRollback never undoes it. easymicro override list shows what is in force, and override drop ends it.`,
		Example: `  easymicro limit Arith.Mul --caller partner-7 --rate 5/s --for 15m -m "flood, ticket 4711"
  easymicro limit "Arith.*" --peer 10.0.0.7 --rate 300/m`,
	}
	c.calls(cmd, func() error {
		if c.q.Rate == "" {
			return usageError("limit needs --rate, such as --rate 5/s; to refuse all calls, use easymicro block")
		}
		return nil
	})
	cmd.Flags().StringVar(&c.q.Rate, "rate", "", "at most this `RATE` of calls, e.g. 5/s, 300/m or 1/10s")
	_ = cmd.RegisterFlagCompletionFunc("rate", cobra.NoFileCompletions)
	return cmd
}

func newBlock(a *app) *cobra.Command {
	c := &overrideCommand{app: a, q: admin.OverrideRequest{Action: admin.ActionBlock}}
	cmd := &cobra.Command{
		Use:   "block METHOD --caller NAME",
		Short: "Refuse the calls of a caller for a while",
		Long: `block refuses calls with PERMISSION_DENIED, at once and in addition to the rules of the files: those of a caller or from a
peer, or all with --caller "*". METHOD is SERVICE.METHOD, SERVICE.* or "*". It ends by itself; everything else is as with
easymicro limit.`,
		Example: `  easymicro block Arith.Mul --caller partner-7 --for 15m -m "ticket 4711"
  easymicro block "*" --peer 10.0.0.0/8`,
	}
	c.calls(cmd, func() error {
		if c.q.Caller == "" && c.q.Peer == "" {
			return usageError(`block needs --caller or --peer; to refuse all callers, use --caller "*"`)
		}
		return nil
	})
	return cmd
}

func newBypass(a *app) *cobra.Command {
	c := &overrideCommand{app: a, q: admin.OverrideRequest{Action: admin.ActionBypass}}
	kinds := config.Bypassable()
	cmd := &cobra.Command{
		Use:   "bypass KIND",
		Short: "Take a kind of rule out of force for a while",
		Long: `bypass takes one kind of all rules out of force, such as circuitBreaker, until its end; access cannot be bypassed. Rules of
other kinds, and other kinds of the same rules, stay in force. It ends by itself; everything else is as with easymicro limit.`,
		Example: `  easymicro bypass circuitBreaker --for 15m -m "breakers flap, ticket 4711"
  easymicro override drop bypass.circuitBreaker`,
		Args:              argRange(1, 1, "one argument: "+strings.Join(kinds, ", ")),
		ValidArgsFunction: fixed(kinds...),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.q.Kind = args[0]
			return c.run(cmd)
		},
	}
	c.flags(cmd)
	return cmd
}

func newOverride(a *app) *cobra.Command {
	c := &overrideCommand{app: a, q: admin.OverrideRequest{Action: admin.ActionOverride}}
	cmd := &cobra.Command{
		Use:   "override RULE FIELD=VALUE",
		Short: "Change a value of a rule for a while; list and drop overrides",
		Long: `override changes one value of a rule of the files, at once and until its end. FIELD is a field of the rule, such as
rateLimit.rate or timeout; fields that are not written in the rule get the default that fits the new value. It ends by itself;
everything else is as with easymicro limit. override list shows all overrides, those of limit, block, bypass and breaker
included, and override drop ends them.`,
		Example: `  easymicro override arith-mul rateLimit.rate=50 --for 15m
  easymicro override arith-mul mode=off -m "ticket 4711"
  easymicro override list`,
		Args:              argRange(2, 2, "a rule and FIELD=VALUE, or list, or drop NAME"),
		ValidArgsFunction: firstArgument(a, bareRuleWords),
		RunE: func(cmd *cobra.Command, args []string) error {
			var ok bool
			if c.q.Field, c.q.Value, ok = strings.Cut(args[1], "="); !ok || c.q.Field == "" {
				return usageError("%q is not FIELD=VALUE, e.g. rateLimit.rate=50", args[1])
			}
			c.q.Rule = args[0]
			return c.run(cmd)
		},
	}
	c.flags(cmd)
	list, drop := newOverrideList(a), newOverrideDrop(a)
	cmd.AddGroup(&cobra.Group{ID: "override", Title: "Commands"})
	list.GroupID, drop.GroupID = "override", "override"
	cmd.AddCommand(list, drop)
	return cmd
}

func (c *overrideCommand) run(cmd *cobra.Command) error {
	if c.end < time.Second || c.end > admin.MaxOverride {
		return usageError("--for: must be from 1s to %s, not %s", config.Duration(admin.MaxOverride), config.Duration(c.end))
	}
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	c.q.For = admin.Seconds(c.end)
	r, err := host.Override(cmd.Context(), c.q)
	if err != nil {
		return reloadError(host, err)
	}
	return c.print(r, func() {
		(&putInForce{app: c.app}).text(&r.Revision)
		x := &r.Override
		c.line("%s: %s, until %s; easymicro override drop %[1]s ends it now", x.Name, x.Text, until(x.Until))
		if x.Rule != "" {
			c.line("to keep it, add to a policy file:\n  - %s", x.Rule)
		}
	})
}

// topWords completes callers or peers of recent calls, the busiest first.
func topWords(a *app, field string) completer {
	return func(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
		complete := firstArgument(a, func(ctx context.Context, c *admin.Client, _ string) (words []string) {
			t, err := c.Top(ctx, admin.TopQuery{By: []string{field}})
			if err != nil {
				return nil
			}
			for i := range t.Rows {
				if name := t.Rows[i].Caller + t.Rows[i].Peer; name != "" {
					words = append(words, name)
				}
			}
			return words
		})
		return complete(cmd, nil, word)
	}
}
