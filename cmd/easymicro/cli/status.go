package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

func (a *app) status() *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "What the files say, what runs, and what became of the last edit",
		Long: `status shows a running host in three parts: desired is what its files say, running is what is in force, and last is what
became of the last attempt to bring one to the other. Then its listeners, services, breakers and limiters.`,
		Example: `  easymicro status
  easymicro status --watch
  easymicro status -o json | jq .policies.last_attempt`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			ask := func(ctx context.Context) (func() error, error) {
				s, err := c.Status(ctx)
				return func() error { return a.print(s, func() { a.statusText(s) }) }, a.hostError(err)
			}
			if watch {
				return a.watch(cmd.Context(), ask)
			}
			show, err := ask(cmd.Context())
			if err != nil {
				return err
			}
			return show()
		},
	}
	cmd.Flags().BoolVar(&watch, "watch", false, "show it again each second, until interrupted")
	return cmd
}

func (a *app) statusText(s *admin.Status) {
	state := a.paint(green, "ready")
	switch {
	case s.Draining:
		state = a.paint(yellow, "draining")
	case !s.Ready:
		state = a.paint(red, "NOT READY")
	}
	a.line("%s   %s   up %s   easymicro %s", a.paint(bold, s.Host), state, span(time.Duration(s.UptimeSeconds*float64(time.Second))), s.Version)
	for _, c := range s.Checks {
		if !c.OK {
			a.line("  %s", failedCheck(a.paint(red, "not ready:"), c))
		}
	}
	a.line("")
	a.policiesText(&s.Policies)
	for _, p := range s.PendingRestart {
		a.line("%s %s (%s): %s → %s", a.paint(yellow, "pending restart:"), p.Field, p.Position, orDash(p.Running), orDash(p.Desired))
	}
	if !s.Watch.Healthy {
		a.line("%s the files are followed by polling only: %s", a.paint(yellow, "warning:"), s.Watch.Error)
	}
	warnings := s.Warnings
	for _, w := range s.Watch.Mounted {
		if !slices.Contains(warnings, w) { // else it was there when the set was read
			warnings = append(warnings, w)
		}
	}
	for _, w := range warnings {
		if !toldElsewhere(s, w) {
			a.line("%s", a.warningText(config.Problem(w)))
		}
	}
	a.expiringText(s.Expiring, s.ExpiringMore)
	a.listenersText(s.Listeners)
	for _, n := range s.NotAccepting {
		a.line("%s listener %s", a.paint(red, "warning:"), acceptText(&n))
	}
	a.budgetText(&s.Budget)
	a.servicesText(s.Services)
	a.upstreamsText(s.Upstreams)
	a.discoveryText(s.Discovery)
	a.breakersText(s.Breakers)
	a.limitersText(s.Limiters)
}

// failedCheck tells of a condition that does not hold. The name of one may be what should not be.
func failedCheck(what string, c admin.Check) string {
	return strings.TrimSpace(what + " " + strings.TrimPrefix(c.Name, "not ") + " " + c.Detail)
}

// policiesText is the three parts: what the files say, what runs, and what became of the last attempt.
func (a *app) policiesText(p *admin.Policies) {
	sync := a.paint(green, "in sync")
	if !p.InSync {
		sync = a.paint(red, "NOT what runs")
	}
	last := p.LastAttempt
	result := a.paint(green, last.Result)
	if last.Result == "rejected" {
		result = a.paint(red, last.Result)
	}
	what := last.Error
	if len(last.Problems) > 0 {
		what = count(len(problemsOf(last.Problems).Errors()), "problem")
	}
	if what != "" {
		what = fmt.Sprintf(": %s; r%d stays in force", what, p.Running.Revision)
	}
	a.table([][]string{
		{a.paint(bold, "desired"), short(p.Desired.Hash), sync, strings.Join(p.Desired.Files, ", ")},
		{
			a.paint(bold, "running"), short(p.Running.Hash), fmt.Sprintf("r%d", p.Running.Revision),
			fmt.Sprintf("%s, by %s; %s", ago(p.Running.AppliedAt), p.Running.Source, count(p.Running.Rules, "rule")),
		},
		{a.paint(bold, "last"), short(last.Hash), result, fmt.Sprintf("%s, by %s%s", ago(last.At), last.Source, what)},
	})
	for _, problem := range problemsOf(last.Problems).Errors() {
		a.line("  %s", problem)
	}
	if p.StandIn != nil {
		a.standInText(p.StandIn)
		if len(last.Problems) == 0 {
			for _, problem := range problemsOf(p.StandIn.Problems) {
				a.line("  %s", problem)
			}
		}
	}
	a.changesText(&p.Running)
}

// standInText names the files to mend while others stand in for them.
func (a *app) standInText(s *admin.StandIn) {
	if s != nil {
		a.line("%s the %s stands in for files that are wrong: mend %s", a.paint(yellow, "warning:"), s.What, strings.Join(s.Mend, ", "))
	}
}

// changesText is what the edit changed that put a revision in force.
func (a *app) changesText(r *admin.Running) {
	const shown = 10
	lines := changesOf(r.Changes).Lines()
	if len(lines) == 0 {
		return
	}
	a.line("%s", a.paint(bold, fmt.Sprintf("r%d changed", r.Revision)))
	for _, line := range lines[:min(shown, len(lines))] {
		a.line("  %s", line)
	}
	if more := len(lines) - shown; more > 0 {
		a.line("  and %d more: easymicro status -o json", more)
	}
}

// toldElsewhere reports whether a warning of when the set was read is shown as it stands now.
func toldElsewhere(s *admin.Status, w admin.Problem) bool {
	return s.Policies.StandIn != nil && w.Path == "policies.fallback" || len(s.Expiring) > 0 && strings.HasSuffix(w.Path, ".expires")
}

// short is as much of a hash as tells sets apart.
func short(hash string) string { return hash[:min(12, len(hash))] }

const watchEvery = time.Second

// watch asks and shows again and again until it is interrupted: in place on a terminal, one below the other elsewhere. A
// host that is away is told, and asked again.
func (a *app) watch(ctx context.Context, ask func(context.Context) (show func() error, err error)) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		show, err := ask(ctx)
		var exit *exitError
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			a.clear()
			err = show()
		case errors.As(err, &exit) && exit.code == ExitUnreachable:
			a.clear()
			a.report(err)
			err = nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// clear begins the screen anew.
func (a *app) clear() {
	switch {
	case terminal(a.io.Out):
		fmt.Fprint(a.io.Out, "\x1b[H\x1b[2J")
	case a.output == outputText:
		a.line("")
	}
}
