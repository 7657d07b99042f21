package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

// rollbackCommand puts a revision in force again.
type rollbackCommand struct {
	*app
	wait, allowWider bool
	message          string
}

func newRollback(a *app) *cobra.Command {
	c := &rollbackCommand{app: a}
	cmd := &cobra.Command{
		Use:   "rollback REVISION",
		Short: "Put an earlier revision in force again",
		Long: `rollback puts the manifest, the policy files and the tokens of an earlier revision in force, as a new revision. The host writes
no files: they are then behind what runs, and are applied again once they change, or by easymicro reload --force.

Without host.state in the manifest, a host remembers the revisions since its start, and a rollback ends with the process.`,
		Example: `  easymicro rollback 41
  easymicro rollback r41 -m "orders are refused" --wait`,
		Args:              argRange(1, 1, "one argument: the number of a revision, such as 41 or r41; easymicro history lists them"),
		ValidArgsFunction: firstArgument(a, revisionWords),
		RunE:              c.run,
	}
	flags := cmd.Flags()
	flags.BoolVar(&c.wait, "wait", false, "wait until the host keeps the revision or has rolled it back")
	flags.BoolVar(&c.allowWider, "allow-wider", false, "accept that more callers may call more methods, under policies.widening: refuse")
	flags.StringVarP(&c.message, "message", "m", "", "`REASON` for the history and the audit log")
	_ = cmd.RegisterFlagCompletionFunc("message", cobra.NoFileCompletions)
	return cmd
}

func (c *rollbackCommand) run(cmd *cobra.Command, args []string) error {
	number, err := revisionArg(args[0])
	if err != nil {
		return err
	}
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	r, err := host.Rollback(cmd.Context(), admin.RollbackRequest{Revision: number, AllowWider: c.allowWider, Message: c.message})
	if err != nil {
		return reloadError(host, err)
	}
	return (&putInForce{c.app, host, c.wait, nil}).show(cmd.Context(), r)
}

// revisionArg parses the number of a revision.
func revisionArg(arg string) (int, error) {
	number, err := strconv.Atoi(strings.TrimPrefix(arg, "r"))
	if err != nil || number < 1 {
		return 0, usageError("%q is not the number of a revision, such as 42 or r42", arg)
	}
	return number, nil
}

// confirmCommand keeps what apply --revert-after has put in force.
type confirmCommand struct{ *app }

func newConfirm(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "confirm",
		Short: "Keep what apply --revert-after has put in force",
		Long: `confirm keeps the revision that easymicro apply --revert-after has put in force. Unless it is run in time, the host goes back to
the revision before, and so does a host that is started again.`,
		Example: `  easymicro confirm
  easymicro confirm -o json`,
		Args: noArgs,
		RunE: (&confirmCommand{a}).run,
	}
}

func (c *confirmCommand) run(cmd *cobra.Command, _ []string) error {
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	r, err := host.Confirm(cmd.Context())
	if err != nil {
		return host.failed(err)
	}
	return c.print(r, func() { c.line("%s", c.paint(green, fmt.Sprintf("r%d confirmed", r.Number))) })
}

// putInForce shows the revision that a command has put in force and, with wait, the verdict on it.
type putInForce struct {
	*app
	host *hostClient
	wait bool
	told config.Problems // warnings that have been shown already
}

func (p *putInForce) show(ctx context.Context, r *admin.Attempt) error {
	if p.format == formatText {
		p.text(r)
	}
	var err error
	if p.wait {
		r, err = p.verdict(ctx, r)
	}
	if p.format == formatJSON && r != nil {
		if err := p.print(r, nil); err != nil {
			return err
		}
	}
	return err
}

func (p *putInForce) text(r *admin.Attempt) {
	p.line("%s", appliedText(&p.printer, r))
	if r.Source == admin.SourceRollback {
		p.line("  %s", r.Why)
		forecastText(&p.printer, r.Forecast)
	}
	for _, w := range r.Warnings {
		if !slices.Contains(p.told, w) {
			p.line("%s", warningText(&p.printer, w))
		}
	}
	if !r.RevertAt.IsZero() {
		p.line("the host goes back at %s unless you run easymicro confirm", r.RevertAt.Local().Format(time.TimeOnly))
	}
}

// verdictEvery is the interval at which a host is asked for its verdict.
const verdictEvery = 100 * time.Millisecond

// verdict waits for the verdict on a revision, and returns its record. The error says that the revision was undone or replaced.
func (p *putInForce) verdict(ctx context.Context, r *admin.Attempt) (*admin.Attempt, error) {
	tick := time.NewTicker(verdictEvery)
	defer tick.Stop()
	for {
		s, err := p.host.Status(ctx)
		if err != nil {
			return r, p.host.failed(err)
		}
		now, err := p.host.Revision(ctx, r.Number)
		running := s.Policies.Running
		if err != nil && running.Revision == r.Number {
			return r, p.host.failed(err)
		}
		if err == nil {
			r = now
		}
		if over, err := p.judged(s, r); over {
			return r, err
		}
		select {
		case <-ctx.Done():
			return r, failed("interrupted: r%d is in force", r.Number)
		case <-tick.C:
		}
	}
}

// judged reports whether there is a verdict. The error says that the revision was undone or replaced.
func (p *putInForce) judged(s *admin.Status, r *admin.Attempt) (bool, error) {
	running := s.Policies.Running
	switch {
	case running.Revision != r.Number && running.Source == admin.SourceAutoRollback:
		return true, &exitError{code: ExitAnswered, err: fmt.Errorf("%s", running.Why)}
	case running.Revision != r.Number && running.Source != "":
		err := fmt.Errorf("r%d was replaced by r%d, by %s, before there was a verdict", r.Number, running.Revision, running.Source)
		return true, &exitError{code: ExitAnswered, err: err}
	case running.Revision != r.Number:
		return false, nil // it is being recorded
	case s.Policies.Observed != nil:
		return false, nil
	case r.Verdict == "":
		p.saidText("r%d is not observed: it cannot refuse or fail calls, or autoRollback is off", r.Number)
	default:
		p.saidText("r%d: %s", r.Number, r.Verdict)
	}
	return true, nil
}

// saidText writes a line unless the format is JSON.
func (p *putInForce) saidText(format string, args ...any) {
	if p.format == formatText {
		p.line(format, args...)
	}
}
