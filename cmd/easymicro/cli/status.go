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
)

// statusCommand shows the state of a running host.
type statusCommand struct {
	*app
	watch bool
}

func newStatus(a *app) *cobra.Command {
	c := &statusCommand{app: a}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show desired and running configuration and the last reload result",
		Long: `status shows a running host: desired is the configuration in its files, running is the one in use, and last is the result of
the last reload. It also shows listeners, services, upstreams, discovery, breakers and limiters, and each method that was called
within the last minute: its calls, how many failed or were refused or ended by a rule of the host, and the latency of the others.`,
		Example: `  easymicro status
  easymicro status --watch
  easymicro status -o json | jq .policies.last_attempt`,
		Args: noArgs,
		RunE: c.run,
	}
	cmd.Flags().BoolVar(&c.watch, "watch", false, "refresh every second until interrupted")
	return cmd
}

func (c *statusCommand) run(cmd *cobra.Command, _ []string) error {
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	return (&refresh{&c.printer, host, c.watch}).run(cmd.Context(), func(ctx context.Context) (func() error, error) {
		s, err := host.Status(ctx)
		return func() error { return c.show(s) }, err
	})
}

func (c *statusCommand) show(s *admin.Status) error {
	return c.print(s, func() { (&statusText{&c.printer}).show(s) })
}

// statusText writes the status of a host as text.
type statusText struct{ *printer }

func (t *statusText) show(s *admin.Status) {
	state := t.paint(green, "ready")
	switch {
	case s.Draining:
		state = t.paint(yellow, "draining")
	case s.Drained != nil:
		state = t.paint(yellow, "drained")
	case !s.Ready:
		state = t.paint(red, "NOT READY")
	}
	tables := statusTables{t.printer}
	t.line("%s   %s   up %s   easymicro %s", t.paint(bold, s.Host), state, span(time.Duration(s.UptimeSeconds*float64(time.Second))), s.Version)
	for _, c := range s.Checks {
		if !c.OK {
			t.line("  %s", failedCheck(t.paint(red, "not ready:"), c))
		}
	}
	t.line("")
	t.policiesText(&s.Policies)
	for _, p := range s.PendingRestart {
		t.line("%s %s (%s): %s → %s", t.paint(yellow, "pending restart:"), p.Field, p.Position, orDash(p.Running), orDash(p.Desired))
	}
	if !s.Watch.Healthy {
		t.line("%s change notification does not work, files are polled: %s", t.paint(yellow, "warning:"), s.Watch.Error)
	}
	warnings := s.Warnings
	for _, w := range s.Watch.Mounted {
		if !slices.Contains(warnings, w) { // else it is from the reload
			warnings = append(warnings, w)
		}
	}
	for _, w := range warnings {
		if !shownElsewhere(s, w) {
			t.line("%s", warningText(t.printer, w))
		}
	}
	t.section(overrideRows(s.Overrides))
	tables.expiring(s.Expiring, s.ExpiringMore)
	tables.listeners(s.Listeners)
	for _, n := range s.NotAccepting {
		t.line("%s listener %s", t.paint(red, "warning:"), acceptText(&n))
	}
	tables.budget(&s.Budget)
	tables.services(s.Services)
	tables.upstreams(s.Upstreams)
	(&trafficTable{t.printer}).show(s)
	tables.discovery(s.Discovery)
	tables.breakers(s.Breakers)
	tables.limiters(s.Limiters)
}

// failedCheck describes a failed check. Its name may be a negation, such as "not draining".
func failedCheck(what string, c admin.Check) string {
	return strings.TrimSpace(what + " " + strings.TrimPrefix(c.Name, "not ") + " " + c.Detail)
}

// policiesText shows the desired and the running configuration and the last reload.
func (t *statusText) policiesText(p *admin.Policies) {
	sync := t.paint(green, "in sync")
	if !p.InSync {
		sync = t.paint(red, "OUT OF SYNC")
	}
	last := p.LastAttempt
	result := t.paint(green, last.Result)
	if last.Result == admin.ResultRejected {
		result = t.paint(red, last.Result)
	}
	what := last.Error
	if len(last.Problems) > 0 {
		what = count(len(last.Problems.Errors()), "problem")
	}
	if what != "" {
		what = fmt.Sprintf(": %s; r%d keeps running", what, p.Running.Revision)
	}
	t.table([][]string{
		{t.paint(bold, "desired"), short(p.Desired.Hash), sync, strings.Join(p.Desired.Files, ", ")},
		{
			t.paint(bold, "running"), short(p.Running.Hash), fmt.Sprintf("r%d", p.Running.Revision),
			fmt.Sprintf("%s, by %s; %s", ago(p.Running.AppliedAt), p.Running.Source, count(p.Running.Rules, "rule")),
		},
		{t.paint(bold, "last"), short(last.Hash), result, fmt.Sprintf("%s, by %s%s", ago(last.At), last.Source, what)},
	})
	for _, problem := range last.Problems.Errors() {
		t.line("  %s", problem)
	}
	if p.Waiting != "" {
		t.line("%s %s", t.paint(yellow, "waiting:"), p.Waiting)
	}
	if p.Held != "" {
		t.line("%s %s", t.paint(red, "held back:"), p.Held)
	}
	if !p.RevertAt.IsZero() {
		t.line("%s r%d goes back at %s: easymicro confirm keeps it", t.paint(yellow, "not confirmed:"), p.Running.Revision, p.RevertAt.Local().Format(time.TimeOnly))
	}
	if o := p.Observed; o != nil {
		t.line("%s", observedText(t.printer, o))
	}
	if p.Fallback != nil {
		fallbackText(t.printer, p.Fallback)
		if len(last.Problems) == 0 {
			for _, problem := range p.Fallback.Problems {
				t.line("  %s", problem)
			}
		}
	}
	t.changesText(&p.Running)
}

// changesText shows what the running revision changed.
func (t *statusText) changesText(r *admin.Running) {
	const shown = 10
	lines := r.Changes.Lines()
	if len(lines) == 0 {
		return
	}
	t.line("%s", t.paint(bold, fmt.Sprintf("r%d changed", r.Revision)))
	for _, line := range lines[:min(shown, len(lines))] {
		t.line("  %s", line)
	}
	if more := len(lines) - shown; more > 0 {
		t.line("  and %d more: easymicro status -o json", more)
	}
	if f := r.Forecast; f != nil && f.Calls > 0 {
		forecastText(t.printer, f)
	}
}

// shownElsewhere reports whether another part of the status shows the current state of a reload warning.
func shownElsewhere(s *admin.Status, w config.Problem) bool {
	return s.Policies.Fallback != nil && isAboutFallback(w) || len(s.Expiring) > 0 && strings.HasSuffix(w.Path, ".expires")
}

// short abbreviates a hash.
func short(hash string) string { return hash[:min(12, len(hash))] }

// observedText returns the line about an edit that may still be rolled back.
func observedText(p *printer, o *admin.Observed) string {
	text := fmt.Sprintf("%s r%d until %s: of %s that r%d let through, %d refused", p.paint(bold, "observed"),
		o.Revision, o.Until.Format(time.TimeOnly), count(int(o.Calls), "call"), o.Baseline, o.NewlyRefused)
	if o.Intended > 0 {
		text += fmt.Sprintf("; %d more on purpose", o.Intended)
	}
	if o.Forced {
		text += "; not rolled back, since it was forced"
	}
	return text
}
