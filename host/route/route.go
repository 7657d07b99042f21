// Package route finds the method that serves a name: one of this host, or one of another host to which its gateway
// forwards.
package route

import (
	"slices"
	"strings"

	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/policies"
)

// A Table is the methods of a generation, by the names that calls have on the wire. It is immutable.
type Table struct {
	Services []*Service // in the order of the manifest
	Remote   *Remote    // nil when the gateway forwards to no other host
	byName   Names[*Service]
}

// Bind makes the table of services, and gives every method its guard and its metrics.
func (t *Table) Bind(rules *policies.Snapshot, metrics *telemetry.Metrics) {
	t.byName = NewNames[*Service](len(t.Services))
	for _, s := range t.Services {
		t.byName.Add(s.Config.Name, s)
		for _, alias := range s.Config.Aliases {
			t.byName.Add(alias, s)
		}
		s.bind(rules, metrics)
	}
}

// Lookup returns the method that a name on the wire means, of this host or else of another one.
func (t *Table) Lookup(service, method string) (*Method, bool) {
	if s, ok := t.byName.Find(service); ok {
		return s.byName.Find(method)
	}
	s, ok := t.Remote.service(service)
	if !ok || method == "" {
		return nil, false
	}
	return s.method(method), true
}

// Service returns the service of this host that a name on the wire means.
func (t *Table) Service(name string) (*Service, bool) { return t.byName.Find(name) }

// Targets returns the methods of this host as rules match them.
func (t *Table) Targets() []policies.Target {
	var all []policies.Target
	for _, s := range t.Services {
		for _, m := range s.Methods {
			all = append(all, m.Target)
		}
	}
	return all
}

// ServiceNames returns the services of this host in the order of the manifest, then those of other hosts, sorted.
func (t *Table) ServiceNames() []string {
	names := make([]string, 0, len(t.Services))
	for _, s := range t.Services {
		names = append(names, s.Config.Name)
	}
	return append(names, t.Remote.All()...)
}

// Callable returns the services that may be called, by all of their names.
func (t *Table) Callable() []string { return append(t.byName.All(), t.Remote.All()...) }

// Without returns the methods of this host that next does not have.
func (t *Table) Without(next *Table) []*Method {
	var gone []*Method
	for _, s := range t.Services {
		gone = append(gone, slices.DeleteFunc(slices.Clone(s.Methods), func(m *Method) bool { return next.Serves(m.full) })...)
	}
	return gone
}

// Narrowed reports whether next lacks a method of this host, under one of its names, or may lack one of other hosts because the
// manifest has changed.
func (t *Table) Narrowed(next *Table) bool {
	if t.Remote != nil && (next.Remote == nil || t.Remote.OtherHosts != next.Remote.OtherHosts ||
		!slices.Equal(t.Remote.config.Services, next.Remote.config.Services)) {
		return true
	}
	for name, s := range t.byName.exact {
		for method := range s.byName.exact {
			if _, ok := next.Lookup(name, method); !ok {
				return true
			}
		}
	}
	return false
}

// Serves reports whether Service/Method is a method of the table, in that very spelling.
func (t *Table) Serves(fullName string) bool {
	if t.Remote != nil && t.Remote.labels.labelled(fullName) {
		return true
	}
	i := strings.LastIndexByte(fullName, '/')
	s, ok := t.byName.exact[fullName[:i]]
	if !ok || s.Config.Name != fullName[:i] {
		return false
	}
	_, ok = s.byName.exact[fullName[i+1:]]
	return ok
}
