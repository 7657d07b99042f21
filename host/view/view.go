// Package view converts the state of a host for the admin API, the metrics and the commands.
package view

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/outgoing"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/registry"
)

// Generation holds the values of a generation of a host that are shown.
type Generation struct {
	Revision int
	Set      *config.Set
	Rules    *policies.Snapshot
	Routes   *route.Table
	Out      *outgoing.Connections
}

// shownExpiries bounds the expiries in status: tokens are often issued by the thousand.
const shownExpiries = 200

// Expiries returns what has expired or will soon, and how many are left out.
func Expiries(set *config.Set, now time.Time) (list []admin.Expiry, more int) {
	list = []admin.Expiry{}
	for _, e := range set.Expiries() {
		if now.Before(e.SoonFrom()) {
			continue
		}
		if len(list) == shownExpiries {
			more++
			continue
		}
		v := admin.Expiry{
			Rule: e.Rule, Caller: e.Caller, Operator: e.Operator, Certificate: e.Certificate, Mode: string(e.Mode),
			At: e.At, Expired: !now.Before(e.At), Opens: e.Opens(), Effect: e.Effect(), Position: e.Position.String(),
		}
		for _, k := range e.Kinds {
			v.Kinds = append(v.Kinds, string(k))
		}
		list = append(list, v)
	}
	return list, more
}

// Desired returns the paths of the files that should be in force.
func Desired(set *config.Set) []string {
	files := set.Files
	if set.Fallback != "" {
		files = set.Desired
	}
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.Path
	}
	return paths
}

// Fallback returns what runs in place of files that are invalid, and which files those are after the last attempt; nil
// when the files run.
func Fallback(set *config.Set, last *admin.Attempt) *admin.Fallback {
	if set.Fallback == "" {
		return nil
	}
	problems := set.Rejected.Errors()
	if found := last.Problems.Errors(); last.Result == admin.ResultRejected && len(found) > 0 {
		problems = found
	}
	return &admin.Fallback{What: set.Fallback, Mend: problems.Files(), Problems: problems}
}

// Pending returns the changes that need a restart.
func Pending(changes config.Changes) []admin.Pending {
	list := []admin.Pending{}
	for _, c := range changes {
		field := strings.Trim(c.Subject+"."+c.Path, ".")
		list = append(list, admin.Pending{Field: field, Running: c.Old, Desired: c.New, Position: c.Position.String()})
	}
	return list
}

// Service returns what a caller needs to know of a service. httpURL is the URL of a listener for HTTP; empty: none.
func Service(g *Generation, s *route.Service, entry *registry.Entry, httpURL string) admin.Service {
	v := admin.Service{Name: s.Config.Name, Aliases: s.Config.Aliases, Handler: s.Config.Handler, Package: entry.Package}
	for _, m := range s.Methods {
		v.Methods = append(v.Methods, method(g, entry, m, httpURL))
		v.Around = m.Around.Names()
	}
	for _, skipped := range s.Handler.Skipped() {
		v.Skipped = append(v.Skipped, admin.Skipped{Name: skipped.Name, Why: skipped.Why})
	}
	return v
}

func method(g *Generation, entry *registry.Entry, m *route.Method, httpURL string) admin.Method {
	v := admin.Method{
		Name: m.Name, Args: admin.ShapeOf(m.Invoke.Args), Reply: admin.ShapeOf(m.Invoke.Reply),
		InFlight: m.InFlight(),
		Routes:   []admin.Route{{Methods: []string{"POST"}, Path: "/" + m.FullName()}},
	}
	if slices.Contains(g.Set.Manifest.Gateway.Get, m.Target.Service+"."+m.Name) {
		v.Routes[0].Methods = append(v.Routes[0].Methods, "GET")
	}
	for _, r := range g.Set.Manifest.Gateway.Routes {
		if found, ok := g.Routes.Lookup(r.Service, r.Method); ok && found == m {
			v.Routes = append(v.Routes, admin.Route{Methods: r.Methods, Path: r.Path})
		}
	}
	body, err := json.Marshal(entry.Example(m.Invoke))
	if err != nil {
		return v
	}
	v.Example = admin.Example{
		Body:    body,
		Chosen:  entry.HasExample(m.Name),
		Command: fmt.Sprintf("easymicro call %s.%s '%s'", m.Target.Service, m.Name, body),
	}
	if httpURL != "" {
		v.Example.Curl = fmt.Sprintf("curl -d '%s' %s/%s", body, httpURL, m.FullName())
	}
	return v
}
