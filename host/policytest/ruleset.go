package policytest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/registry"
)

// ruleset is the rules of a manifest, with what they are compiled for.
type ruleset struct {
	set     *config.Set
	methods []policies.Target
	all     bool // methods is complete
	options policies.Options
}

// newRuleset loads and checks a manifest. The error is config.Problems if it, or a file that it names, has any.
func newRuleset(ctx context.Context, path string, reg *registry.Registry) (*ruleset, error) {
	set, err := files.Through(ctx, new(files.Gate), func(at func(string)) (*config.Set, error) {
		return load.Load(path, load.Options{At: at})
	})
	if err != nil {
		return nil, err
	}
	if problems := host.Check(set, reg).Errors(); len(problems) > 0 {
		return nil, problems
	}
	r := &ruleset{set: set}
	r.methods, r.all, r.options = host.RulesOf(set, reg)
	return r, nil
}

// assuming returns the rules, with those in shadow enforced if assume says so.
func (r *ruleset) assuming(assume string) []config.Rule {
	rules := slices.Clone(r.set.Rules)
	for i := range rules {
		if assume == string(config.Enforce) && rules[i].Mode == config.Shadow {
			rules[i].Mode = config.Enforce
		}
	}
	return rules
}

// destination is where calls go: a method of the host or, if upstream is set, of an upstream.
type destination struct {
	policies.Target
	upstream  *config.Upstream
	endpoints []string // of the upstream
}

// resolve finds Service.Method or UPSTREAM.Method.
func (r *ruleset) resolve(name string) (destination, error) {
	i := strings.LastIndexByte(name, '.')
	if i <= 0 || i == len(name)-1 {
		return destination{}, fmt.Errorf("must be Service.Method or UPSTREAM.Method, not %q", name)
	}
	service, method := name[:i], name[i+1:]
	if main, ok := r.options.Aliases[service]; ok {
		service = main
	}
	t := policies.Target{Service: service, Method: method}
	m := r.set.Manifest
	for i := range m.Services {
		if m.Services[i].Name != service {
			continue
		}
		if r.all && !slices.Contains(r.methods, t) {
			return destination{}, fmt.Errorf("service %s has no method %q", service, method)
		}
		return destination{Target: t}, nil
	}
	for i := range m.Upstreams {
		if u := &m.Upstreams[i]; u.Name == service {
			t.Service = u.Service
			return destination{Target: t, upstream: u, endpoints: endpointsOf(u)}, nil
		}
	}
	return destination{}, fmt.Errorf("no service and no upstream is named %q", service)
}

// endpointsOf returns the addresses of an upstream, or two made up for one that looks them up.
func endpointsOf(u *config.Upstream) []string {
	if len(u.Resolve.Endpoints) == 0 {
		return []string{u.Name + "-1:80", u.Name + "-2:80"}
	}
	list := make([]string, len(u.Resolve.Endpoints))
	for i, a := range u.Resolve.Endpoints {
		_, list[i], _ = a.Split() // they are checked with the manifest
	}
	return list
}

// callable returns the names of the methods that are known.
func (r *ruleset) callable() []string {
	var names []string
	for _, t := range r.methods {
		names = append(names, t.Service+"."+t.Method)
	}
	return names
}
