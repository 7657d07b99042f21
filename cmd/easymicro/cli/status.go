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

// acceptText is what a listener did to connections, and why.
func acceptText(t *admin.AcceptTrouble) string {
	did := "turned %s away"
	if t.Reason == "too_many_connections" {
		did = "closed %s for new ones" // those that were idle, as long as there were any
	}
	return fmt.Sprintf("%s "+did+", the first %s: %s", t.Listener, count(int(t.Count), "connection"), ago(t.Since),
		strings.ReplaceAll(t.Reason, "_", " "))
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

func (a *app) expiringText(list []admin.Expiry, more int) {
	rows := [][]string{{"EXPIRES", "WHAT", "MODE", "EFFECT", "PLACE"}}
	for _, e := range list {
		when, colour := "in "+span(time.Until(e.At)), yellow
		if e.Expired {
			when, colour = "EXPIRED "+ago(e.At), red
		}
		if e.Expired && e.Rule != "" && !e.Opens {
			colour = dim
		}
		what := "token of " + e.Caller
		if e.Rule != "" {
			what = e.Rule + " (" + strings.Join(e.Kinds, ", ") + ")"
		}
		rows = append(rows, []string{a.paint(colour, when), what, orDash(e.Mode), e.Effect, e.Position})
	}
	if more > 0 {
		rows = append(rows, []string{"", fmt.Sprintf("and %d more", more), "", "", ""})
	}
	a.section(rows)
}

func (a *app) listenersText(list []admin.Listener) {
	rows := [][]string{{"LISTENER", "ADDRESS", "PROTOCOLS", "CONNECTIONS"}}
	for _, l := range list {
		address := l.Address
		if l.Local {
			address += " (this machine only)"
		}
		rows = append(rows, []string{l.Name, address, strings.Join(l.Protocols, "+"), fmt.Sprint(l.Connections)})
	}
	a.section(rows)
}

// budgetText is what is in use of the limits of the host.
func (a *app) budgetText(b *admin.Budget) {
	refused := fmt.Sprint(b.Refused)
	if b.Refused > 0 {
		refused = a.paint(yellow, refused)
	}
	a.section([][]string{
		{"HOST LIMITS", "IN FLIGHT", "BUFFERED", "REFUSED"},
		{"", fmt.Sprintf("%d of %d", b.InFlight, b.MaxInFlight), roughly(b.BufferedBytes) + " of " + roughly(b.MaxBufferedBytes), refused},
	})
}

// roughly is a size of which the magnitude matters.
func roughly(n int64) string {
	for unit := int64(1 << 30); unit > 1; unit >>= 10 {
		if n >= 10*unit || n%unit == 0 {
			n -= n % unit
			break
		}
	}
	return config.Bytes(n).String()
}

func (a *app) servicesText(list []admin.ServiceStatus) {
	rows := [][]string{{"SERVICE", "HANDLER", "READY", "IN FLIGHT", "METHODS"}}
	for _, s := range list {
		ready := "yes"
		if !s.Ready {
			ready = a.paint(red, "no: "+s.Detail)
		}
		name := s.Name
		if len(s.Aliases) > 0 {
			name += " (also " + strings.Join(s.Aliases, ", ") + ")"
		}
		rows = append(rows, []string{name, s.Handler, ready, fmt.Sprint(s.InFlight), strings.Join(s.Methods, ", ")})
	}
	a.section(rows)
}

// modeShadow is the mode of rules that refuse nothing.
const modeShadow = "shadow"

func (a *app) breakersText(list []admin.Breaker) {
	colours := map[string]paint{"open": red, "half_open": yellow}
	rows := [][]string{{"BREAKER", "UPSTREAM", "TARGET", "STATE", "MODE", "SINCE", "CAUSE"}}
	shadow := slices.ContainsFunc(list, func(b admin.Breaker) bool { return b.Mode == modeShadow })
	for _, b := range list {
		state := strings.ReplaceAll(b.State, "_", "-")
		if b.Mode != modeShadow { // else nobody is refused
			state = a.paint(colours[b.State], state)
		}
		rows = append(rows, []string{b.Rule, orDash(b.Upstream), breakerTarget(&b), state, modeWhere(shadow, b.Mode), ago(b.Since), orDash(b.Cause)})
	}
	a.section(withoutEmpty(rows, "UPSTREAM", "MODE"))
}

// modeWhere is a mode for a table in which some rules are in shadow; else all are enforced, and it need not be said.
func modeWhere(shadow bool, mode string) string {
	if !shadow {
		mode = ""
	}
	return orDash(mode)
}

// breakerTarget is what a breaker is of: a method, an endpoint, or an upstream as a whole. The upstream has a column of
// its own.
func breakerTarget(b *admin.Breaker) string {
	target := b.Target
	if b.Upstream != "" {
		target = strings.TrimPrefix(target, b.Upstream+" ")
	}
	if service, method, ok := strings.Cut(target, "/"); ok && !strings.ContainsAny(target, ":") && service != "" {
		return service + "." + method
	}
	return target
}

func (a *app) limitersText(list []admin.Limiter) {
	rows := [][]string{{"LIMITER", "TOKENS", "BURST", "KEYS", "MODE"}}
	shadow := slices.ContainsFunc(list, func(l admin.Limiter) bool { return l.Mode == modeShadow })
	for _, l := range list {
		tokens, keys := fmt.Sprintf("%.1f", l.Tokens), "-"
		switch {
		case l.Keyed:
			tokens, keys = "-", keysOf(&l)
		case l.Tokens < 1 && l.Mode != modeShadow:
			tokens = a.paint(yellow, tokens)
		}
		rows = append(rows, []string{l.Rule, tokens, fmt.Sprint(l.Burst), keys, modeWhere(shadow, l.Mode)})
	}
	a.section(withoutEmpty(rows, "MODE"))
}

// keysOf is how many keys a limiter has, and how many calls had no bucket of their own.
func keysOf(l *admin.Limiter) string {
	text := fmt.Sprint(l.Keys)
	if l.Overflow > 0 {
		text += fmt.Sprintf(", %d calls beyond them", l.Overflow)
	}
	if l.MissingKey > 0 {
		text += fmt.Sprintf(", %d without key", l.MissingKey)
	}
	return text
}

// short is as much of a hash as tells sets apart.
func short(hash string) string { return hash[:min(12, len(hash))] }

// section is a table of its own, left out when there is nothing in it.
func (a *app) section(rows [][]string) {
	if len(rows) > 1 {
		a.line("")
		a.titled(rows)
	}
}
