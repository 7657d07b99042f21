package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/wire/code"
)

// endpointColours show what is not as it should be.
var endpointColours = map[string]paint{"backoff": red, "ejected": red, "stale": yellow, "draining": yellow}

func (a *app) upstreamsText(list []admin.Upstream) {
	rows := [][]string{{"UPSTREAM", "SERVICE", "FOUND BY", "ENDPOINT", "STATE", "IN FLIGHT", "LATENCY"}}
	for _, u := range list {
		head := []string{u.Name, u.Service, u.Resolve}
		switch {
		case !u.Called:
			rows = append(rows, append(head, "-", "not called yet", "", ""))
		case len(u.Endpoints) == 0:
			rows = append(rows, append(head, "-", a.paint(red, "no endpoint"), "", ""))
		}
		for _, e := range u.Endpoints {
			state := a.paint(endpointColours[e.State], e.State)
			if e.Error != "" {
				state += ": " + e.Error
			}
			latency := "-"
			if e.LatencySeconds > 0 {
				latency = time.Duration(e.LatencySeconds * float64(time.Second)).Round(10 * time.Microsecond).String()
			}
			rows = append(rows, append(head, e.Address, state, fmt.Sprint(e.InFlight), latency))
			head = []string{"", "", ""}
		}
		if u.More > 0 {
			rows = append(rows, append(head, fmt.Sprintf("and %d more", u.More), "", "", ""))
		}
	}
	a.section(rows)
	for _, u := range list {
		if u.Error != "" {
			a.line("%s upstream %s: %s", a.paint(yellow, "warning:"), u.Name, u.Error)
		}
	}
}

func (a *app) discoveryText(list []admin.Discovery) {
	rows := [][]string{{"DISCOVERY", "CONNECTION", "REGISTRATION", "PUBLISHED", "FOUND"}}
	for _, d := range list {
		rows = append(rows, []string{d.Name, a.connectionText(&d), a.registrationText(&d), publishedText(d.Instances), foundText(&d)})
	}
	a.section(rows)
	for _, d := range list {
		if !d.Connected && strings.HasSuffix(inCell(d.Error), "…") {
			a.line("%s discovery %s: %s", a.paint(yellow, "warning:"), d.Name, d.Error)
		}
		if n := len(d.LeftOut) + d.LeftOutMore; n > 0 {
			l := d.LeftOut[0]
			a.line("%s discovery %s: %s left out, such as %s of %s, whose kind (%s) is not in allowEndpoints", a.paint(yellow, "warning:"), d.Name,
				count(n, "endpoint"), l.Address, l.Service, l.Kind)
		}
		if d.Twin != "" {
			a.line("%s another live host has the name of this one, at %s: give each its own host.name", a.paint(red, "error:"), d.Twin)
		}
	}
}

func (a *app) connectionText(d *admin.Discovery) string {
	switch {
	case d.Connected:
		return a.paint(green, "connected") + lasting(d.Since)
	case d.Since.IsZero() && d.Error == "":
		return "not used yet"
	}
	return a.paint(red, "away") + lasting(d.Since) + ": " + inCell(strings.TrimPrefix(d.Error, "etcd "+d.Name+": "))
}

// inCell is as much of a reason as keeps a table readable; all of it stands below.
func inCell(reason string) string {
	short, cut := strings.CutSuffix(code.Clip(reason, 42), "…")
	if !cut {
		return reason
	}
	return strings.TrimRight(short, " ,:;") + "…"
}

// lasting is for how long something has been so.
func lasting(since time.Time) string {
	if since.IsZero() {
		return ""
	}
	return " for " + span(time.Since(since))
}

func (a *app) registrationText(d *admin.Discovery) string {
	switch {
	case !d.Registers:
		return "-"
	case !d.Registered && len(d.Instances) == 0:
		return "nothing to publish"
	case !d.Registered:
		return a.paint(red, "NOT REGISTERED")
	}
	return fmt.Sprintf("%s%s, lease %s", a.paint(green, "registered"), lasting(d.RegisteredSince), d.Lease)
}

func publishedText(list []admin.Instance) string {
	if len(list) == 0 {
		return "-"
	}
	names := make([]string, len(list))
	for i, instance := range list {
		names[i] = instance.Service
	}
	return strings.Join(names, ", ") + " at " + list[0].Address
}

// foundText counts what discovery knows; `list --etcd` names it.
func foundText(d *admin.Discovery) string {
	endpoints, stale := 0, 0
	for _, s := range d.Services {
		endpoints += len(s.Endpoints) + s.More
		for _, e := range s.Endpoints {
			if e.State == "stale" {
				stale++
			}
		}
	}
	text := fmt.Sprintf("%s, %s", count(len(d.Services)+d.More, "service"), count(endpoints, "endpoint"))
	if stale > 0 {
		text += fmt.Sprintf(" (%d stale)", stale)
	}
	return text
}
