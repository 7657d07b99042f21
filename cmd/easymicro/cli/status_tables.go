package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// statusTables writes the tables of a status.
type statusTables struct{ *printer }

// endpointColours highlights states that need attention.
var endpointColours = map[string]paint{"backoff": red, "ejected": red, "stale": yellow, "draining": yellow}

func (t *statusTables) upstreams(list []admin.Upstream) {
	rows := [][]string{{"UPSTREAM", "SERVICE", "FOUND BY", "ENDPOINT", "STATE", "IN FLIGHT", "LATENCY"}}
	for _, u := range list {
		head := []string{u.Name, u.Service, u.Resolve}
		switch {
		case !u.Called:
			rows = append(rows, append(head, "-", "not called yet", "", ""))
		case len(u.Endpoints) == 0:
			rows = append(rows, append(head, "-", t.paint(red, "no endpoint"), "", ""))
		}
		for _, e := range u.Endpoints {
			state := t.paint(endpointColours[e.State], e.State)
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
	t.section(rows)
	for _, u := range list {
		if u.Error != "" {
			t.line("%s upstream %s: %s", t.paint(yellow, "warning:"), u.Name, u.Error)
		}
	}
}

func (t *statusTables) discovery(list []admin.Discovery) {
	rows := [][]string{{"DISCOVERY", "CONNECTION", "REGISTRATION", "PUBLISHED", "FOUND"}}
	for _, d := range list {
		rows = append(rows, []string{d.Name, t.connectionText(&d), t.registrationText(&d), publishedText(d.Instances), foundText(&d)})
	}
	t.section(rows)
	for _, d := range list {
		if !d.Connected && strings.HasSuffix(inCell(d.Error), "…") {
			t.line("%s discovery %s: %s", t.paint(yellow, "warning:"), d.Name, d.Error)
		}
		if n := len(d.LeftOut) + d.LeftOutMore; n > 0 {
			l := d.LeftOut[0]
			t.line("%s discovery %s: %s ignored, e.g. %s of %s: its kind (%s) is not in allowEndpoints", t.paint(yellow, "warning:"), d.Name,
				count(n, "endpoint"), l.Address, l.Service, l.Kind)
		}
		if d.Duplicate != "" {
			t.line("%s another live host at %s has the same name: give each its own host.name", t.paint(red, "error:"), d.Duplicate)
		}
	}
}

func (t *statusTables) connectionText(d *admin.Discovery) string {
	switch {
	case d.Connected:
		return t.paint(green, "connected") + lasting(d.Since)
	case d.Since.IsZero() && d.Error == "":
		return "not used yet"
	}
	return t.paint(red, "unreachable") + lasting(d.Since) + ": " + inCell(strings.TrimPrefix(d.Error, "etcd "+d.Name+": "))
}

// inCell abbreviates a reason for a table; the full text is shown below it.
func inCell(reason string) string {
	short, cut := strings.CutSuffix(code.Clip(reason, 42), "…")
	if !cut {
		return reason
	}
	return strings.TrimRight(short, " ,:;") + "…"
}

// lasting formats how long a state has lasted.
func lasting(since time.Time) string {
	if since.IsZero() {
		return ""
	}
	return " for " + span(time.Since(since))
}

func (t *statusTables) registrationText(d *admin.Discovery) string {
	switch {
	case !d.Registers:
		return "-"
	case !d.Registered && len(d.Instances) == 0:
		return "nothing to publish"
	case !d.Registered:
		return t.paint(red, "NOT REGISTERED")
	}
	return fmt.Sprintf("%s%s, lease %s", t.paint(green, "registered"), lasting(d.RegisteredSince), d.Lease)
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

// foundText counts what discovery has found; list --etcd shows it.
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

// acceptText describes connections that a listener could not accept.
func acceptText(t *admin.AcceptTrouble) string {
	did := "rejected %s"
	if t.Reason == "too_many_connections" {
		did = "closed %s for new ones" // idle ones first
	}
	return fmt.Sprintf("%s "+did+", the first %s: %s", t.Listener, count(int(t.Count), "connection"), ago(t.Since),
		strings.ReplaceAll(t.Reason, "_", " "))
}

func (t *statusTables) expiring(list []admin.Expiry, more int) {
	rows := [][]string{{"EXPIRES", "WHAT", "MODE", "EFFECT", "LOCATION"}}
	for _, e := range list {
		when, colour := "in "+span(time.Until(e.At)), yellow
		if e.Expired {
			when, colour = "EXPIRED "+ago(e.At), red
		}
		if e.Expired && e.Rule != "" && !e.Opens {
			colour = dim
		}
		what := "token of " + e.Caller
		switch {
		case e.Operator != "":
			what = "admin token of " + e.Operator
		case e.Certificate != "":
			what = "certificate " + e.Certificate
		case e.Rule != "":
			what = e.Rule + " (" + strings.Join(e.Kinds, ", ") + ")"
		}
		rows = append(rows, []string{t.paint(colour, when), what, orDash(e.Mode), e.Effect, e.Position})
	}
	if more > 0 {
		rows = append(rows, []string{"", fmt.Sprintf("and %d more", more), "", "", ""})
	}
	t.section(rows)
}

func (t *statusTables) listeners(list []admin.Listener) {
	rows := [][]string{{"LISTENER", "ADDRESS", "PROTOCOLS", "CONNECTIONS"}}
	for _, l := range list {
		address := l.Address
		if l.Local {
			address += " (this machine only)"
		}
		protocols := strings.Join(l.Protocols, "+")
		if l.TLS {
			protocols += " over TLS"
		}
		rows = append(rows, []string{l.Name, address, protocols, fmt.Sprint(l.Connections)})
	}
	t.section(rows)
}

// budget shows the usage of the limits of the host.
func (t *statusTables) budget(b *admin.Budget) {
	refused := fmt.Sprint(b.Refused)
	if b.Refused > 0 {
		refused = t.paint(yellow, refused)
	}
	t.section([][]string{
		{"HOST LIMITS", "IN FLIGHT", "BUFFERED", "REFUSED"},
		{"", fmt.Sprintf("%d of %d", b.InFlight, b.MaxInFlight), roughly(b.BufferedBytes) + " of " + roughly(b.MaxBufferedBytes), refused},
	})
}

// roughly formats a size rounded to its unit.
func roughly(n int64) string {
	for unit := int64(1 << 30); unit > 1; unit >>= 10 {
		if n >= 10*unit || n%unit == 0 {
			n -= n % unit
			break
		}
	}
	return config.Bytes(n).String()
}

func (t *statusTables) services(list []admin.ServiceStatus) {
	rows := [][]string{{"SERVICE", "HANDLER", "READY", "IN FLIGHT", "METHODS"}}
	for _, s := range list {
		ready := "yes"
		if !s.Ready {
			ready = t.paint(red, "no: "+s.Detail)
		}
		name := s.Name
		if len(s.Aliases) > 0 {
			name += " (also " + strings.Join(s.Aliases, ", ") + ")"
		}
		methods := make([]string, len(s.Methods))
		for i := range s.Methods {
			methods[i] = s.Methods[i].Name
		}
		rows = append(rows, []string{name, s.Handler, ready, fmt.Sprint(s.InFlight), strings.Join(methods, ", ")})
	}
	t.section(rows)
}

// modeShadow is the mode of rules that are evaluated but not enforced.
const modeShadow = "shadow"

func (t *statusTables) breakers(list []policies.BreakerStats) {
	rows := [][]string{{"BREAKER", "UPSTREAM", "TARGET", "STATE", "MODE", "SINCE", "CAUSE"}}
	shadow := slices.ContainsFunc(list, func(b policies.BreakerStats) bool { return b.Mode == modeShadow })
	for _, b := range list {
		rows = append(rows, []string{
			b.Rule, orDash(b.Upstream), breakerTarget(&b), breakerState(t.printer, &b), modeWhere(shadow, string(b.Mode)), ago(b.Since), orDash(b.Cause),
		})
	}
	t.section(withoutEmpty(rows, "UPSTREAM", "MODE"))
}

// modeWhere returns mode for a table that has rules in shadow mode, and "" for others.
func modeWhere(shadow bool, mode string) string {
	if !shadow {
		mode = ""
	}
	return orDash(mode)
}

// breakerTarget names the target of a breaker: a method, an endpoint, or a whole upstream, which has its own column.
func breakerTarget(b *policies.BreakerStats) string {
	target := b.Target
	if b.Upstream != "" {
		target = strings.TrimPrefix(target, b.Upstream+" ")
	}
	if service, method, ok := strings.Cut(target, "/"); ok && !strings.ContainsAny(target, ":") && service != "" {
		return service + "." + method
	}
	return target
}

func (t *statusTables) limiters(list []policies.LimiterStats) {
	rows := [][]string{{"LIMITER", "TOKENS", "BURST", "KEYS", "MODE"}}
	shadow := slices.ContainsFunc(list, func(l policies.LimiterStats) bool { return l.Mode == modeShadow })
	for _, l := range list {
		tokens, keys := fmt.Sprintf("%.1f", l.Tokens), "-"
		switch {
		case l.Keyed:
			tokens, keys = "-", keysOf(&l)
		case l.Tokens < 1 && l.Mode != modeShadow:
			tokens = t.paint(yellow, tokens)
		}
		rows = append(rows, []string{l.Rule, tokens, fmt.Sprint(l.Burst), keys, modeWhere(shadow, string(l.Mode))})
	}
	t.section(withoutEmpty(rows, "MODE"))
}

// keysOf counts the keys of a limiter and the calls that have no bucket of their own.
func keysOf(l *policies.LimiterStats) string {
	text := fmt.Sprint(l.Keys)
	if l.Overflow > 0 {
		text += fmt.Sprintf(", %d calls beyond them", l.Overflow)
	}
	if l.MissingKey > 0 {
		text += fmt.Sprintf(", %d without key", l.MissingKey)
	}
	return text
}
