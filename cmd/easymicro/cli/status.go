package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

func (a *app) status() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "What the files say, what runs, and what became of the last edit",
		Example: `  easymicro status
  easymicro status -o json | jq .policies.last_attempt`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := c.Status(cmd.Context())
			if err != nil {
				return hostError(err)
			}
			return a.print(s, func() { a.statusText(s) })
		},
	}
}

func (a *app) statusText(s *admin.Status) {
	state := "ready"
	switch {
	case s.Draining:
		state = "draining"
	case !s.Ready:
		state = "NOT READY"
	}
	a.line("%s   %s   up %s   easymicro %s", s.Host, state, (time.Duration(s.UptimeSeconds) * time.Second).String(), s.Version)
	for _, c := range s.Checks {
		if !c.OK {
			a.line("  not ready: %s %s", c.Name, c.Detail)
		}
	}
	a.policiesText(&s.Policies)
	for _, p := range s.PendingRestart {
		a.line("pending restart: %s (%s): %s → %s", p.Field, p.Position, orDash(p.Running), orDash(p.Desired))
	}
	if !s.Watch.Healthy {
		a.line("watch: by polling only: %s", s.Watch.Error)
	}
	for _, w := range s.Warnings {
		a.line("warning: %s", problemText(w))
	}
	a.line("")
	a.listenersText(s.Listeners)
	a.servicesText(s.Services)
	a.breakersText(s.Breakers)
	a.limitersText(s.Limiters)
}

func (a *app) policiesText(p *admin.Policies) {
	a.line("desired   %s   %s", short(p.Desired.Hash), strings.Join(p.Desired.Files, " "))
	a.line("running   r%d %s   %s, by %s, %s", p.Running.Revision, short(p.Running.Hash), ago(p.Running.AppliedAt), p.Running.Source,
		count(p.Running.Rules, "rule"))
	last := p.LastAttempt
	a.line("last      %s %s, by %s", last.Result, ago(last.At), last.Source)
	if last.Error != "" {
		a.line("  %s", last.Error)
	}
	for _, problem := range last.Problems {
		a.line("  %s", problemText(problem))
	}
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

func (a *app) servicesText(list []admin.ServiceStatus) {
	rows := [][]string{{"SERVICE", "HANDLER", "METHODS", "READY", "IN FLIGHT"}}
	for _, s := range list {
		ready := "yes"
		if !s.Ready {
			ready = "no: " + s.Detail
		}
		rows = append(rows, []string{s.Name, s.Handler, strings.Join(s.Methods, ", "), ready, fmt.Sprint(s.InFlight)})
	}
	a.section(rows)
}

func (a *app) breakersText(list []admin.Breaker) {
	rows := [][]string{{"BREAKER", "METHOD", "STATE", "SINCE", "CAUSE"}}
	for _, b := range list {
		rows = append(rows, []string{b.Rule, b.Target, b.State, ago(b.Since), orDash(b.Cause)})
	}
	a.section(rows)
}

func (a *app) limitersText(list []admin.Limiter) {
	rows := [][]string{{"LIMITER", "TOKENS", "BURST", "KEYS"}}
	for _, l := range list {
		tokens, keys := fmt.Sprintf("%.1f", l.Tokens), "-"
		if l.Keyed {
			tokens, keys = "-", fmt.Sprintf("%d (%d evicted)", l.Keys, l.Evictions)
		}
		rows = append(rows, []string{l.Rule, tokens, fmt.Sprint(l.Burst), keys})
	}
	a.section(rows)
}

// section is a table with its heading, left out when there is nothing under it.
func (a *app) section(rows [][]string) {
	if len(rows) > 1 {
		a.table(rows)
		a.line("")
	}
}

// short is as much of a hash as tells sets apart.
func short(hash string) string { return hash[:min(12, len(hash))] }
