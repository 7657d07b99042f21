package view

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/policies"
)

// Explain returns the rules that apply to a call. The error is an *admin.Error.
func Explain(g *Generation, q admin.ExplainQuery) (*admin.Explanation, error) {
	if q.Upstream != "" {
		return explainUpstream(g, q.Upstream, q.Method, q.Caller)
	}
	m, ok := g.Routes.Lookup(q.Service, q.Method)
	if !ok && g.Out.Upstream(q.Service) != nil {
		return explainUpstream(g, q.Service, q.Method, q.Caller)
	}
	if !ok {
		return nil, notFound(g, q.Service, q.Method)
	}
	if err := checkClaims(g, &q); err != nil {
		return nil, err
	}
	caller := cmp.Or(q.Caller, policies.Anonymous)
	x := g.Rules.ExplainCall(m.Target, &policies.Call{Caller: caller, Claims: q.Identity, Peer: q.Peer})
	if m.IsRemote() { // it is forwarded, under the rules for calls to the upstream of that name
		out := g.Rules.ExplainUpstream(m.Target.Service, m.Target.Service, m.Target.Method, caller)
		x.Kinds = append(x.Kinds, out.Kinds...)
	}
	return &admin.Explanation{Explanation: x, Around: m.Around.Names()}, nil
}

// checkClaims returns an error if the caller of a query cannot have its claims.
func checkClaims(g *Generation, q *admin.ExplainQuery) error {
	known := g.Set.Manifest.Auth.ClaimNames()
	for _, name := range slices.Sorted(maps.Keys(q.Identity)) {
		switch {
		case cmp.Or(q.Caller, policies.Anonymous) == policies.Anonymous:
			return admin.Errorf(admin.CodeBadRequest, "anonymous callers have no claims").WithHelp("name the caller, too")
		case len(known) == 0:
			return admin.Errorf(admin.CodeBadRequest, "callers have no claim %q here", name).WithHelp("auth.jwt.claims names none")
		case !slices.Contains(known, name):
			return admin.Errorf(admin.CodeBadRequest, "callers have no claim %q here", name).
				WithHelp("auth.jwt.claims names: %s%s", strings.Join(known, ", "), didYouMean(name, known))
		}
	}
	return nil
}

// notFound returns the error for a service or method that is not served.
func notFound(g *Generation, service, method string) *admin.Error {
	s, ok := g.Routes.Service(service)
	if !ok {
		return noService(g, service)
	}
	var methods []string
	for _, m := range s.Methods {
		methods = append(methods, m.Name)
	}
	return admin.Errorf(admin.CodeNotFound, "service %s has no method %q%s", s.Config.Name, method, route.WhySkipped(s.Handler.Skipped(), method)).
		WithHelp("it has: %s%s", strings.Join(methods, ", "), didYouMean(method, methods))
}

func noService(g *Generation, name string) *admin.Error {
	upstreams := g.Set.Manifest.UpstreamNames()
	help := "served: " + strings.Join(g.Routes.ServiceNames(), ", ")
	if len(upstreams) > 0 {
		help += "; upstreams: " + strings.Join(upstreams, ", ")
	}
	known := append(g.Routes.Callable(), upstreams...)
	meant := didYouMean(name, known)
	if s := config.Suggest(name, known); slices.Contains(upstreams, s) {
		meant = "; did you mean " + s + "? it is an upstream"
	}
	return admin.Errorf(admin.CodeNotFound, "no service %q is served here", name).WithHelp("%s", help+meant)
}

func didYouMean(word string, known []string) string {
	if s := config.Suggest(word, known); s != "" {
		return "; did you mean " + s + "?"
	}
	return ""
}

// explainUpstream returns the client-side rules for a call to an upstream. To a gateway, every service of other hosts
// is one.
func explainUpstream(g *Generation, name, method, caller string) (*admin.Explanation, error) {
	if u := g.Out.Upstream(name); u != nil {
		return &admin.Explanation{Explanation: g.Rules.ExplainUpstream(name, u.Service, method, caller)}, nil
	}
	if g.Routes.Remote.Has(name) {
		return &admin.Explanation{Explanation: g.Rules.ExplainUpstream(name, name, method, caller)}, nil
	}
	known := append(g.Set.Manifest.UpstreamNames(), g.Routes.Remote.All()...)
	return nil, admin.Errorf(admin.CodeNotFound, "unknown upstream %q", name).
		WithHelp("upstreams: %s%s", strings.Join(known, ", "), didYouMean(name, known))
}

// RevisionsKept is the number of revisions that a host remembers.
const RevisionsKept = 50

// History returns the set of a revision and when it was applied, unless the host no longer remembers it.
type History func(revision int) (set *config.Set, at time.Time, ok bool)

// ExplainRule returns a rule as it was in a revision, and what has changed since; revision 0 is the one
// in force. The error is an *admin.Error.
func ExplainRule(g *Generation, applied History, name string, revision int) (*admin.RuleExplanation, error) {
	if revision == 0 {
		revision = g.Revision
	}
	set, at, ok := applied(revision)
	if !ok {
		return nil, admin.Errorf(admin.CodeNotFound, "unknown revision %d", revision).
			WithHelp("the host keeps at most the last %d revisions since it started, fewer if they are large; easymicro status shows the running one", RevisionsKept)
	}
	rule := set.Rule(name)
	if rule == nil {
		return nil, admin.Errorf(admin.CodeNotFound, "revision %d has no rule %q", revision, name).
			WithHelp("its rules: %s%s", strings.Join(ruleNames(set), ", "), didYouMean(name, ruleNames(set)))
	}
	past, err := pastRule(rule)
	if err != nil {
		return nil, err
	}
	x := &admin.RuleExplanation{Revision: revision, AppliedAt: at, Rule: past}
	for _, s := range g.Rules.Rules() {
		if s.Name == name && revision == g.Revision {
			x.Rule = s
		}
	}
	x.Status = ruleStatus(applied, set, name, g.Revision, revision)
	return x, nil
}

// ruleStatus returns what happened to a rule after a revision.
func ruleStatus(applied History, set *config.Set, name string, current, revision int) string {
	for n := revision + 1; n <= current; n++ {
		next, _, ok := applied(n)
		if !ok {
			continue
		}
		if next.Rule(name) == nil {
			return "removed in r" + strconv.Itoa(n)
		}
		for _, c := range config.Diff(set, next) {
			if c.Subject == name {
				return "changed in r" + strconv.Itoa(n)
			}
		}
	}
	return "in force"
}

// pastRule returns a rule of a revision as it was compiled then, without state.
func pastRule(r *config.Rule) (policies.RuleState, error) {
	alone, err := policies.Compile([]config.Rule{*r}, nil, nil, policies.Options{})
	if err != nil {
		return policies.RuleState{}, err
	}
	v := alone.Rules()[0]
	v.Status, v.Detail = "", "" // they depend on the other rules
	for i := range v.Kinds {
		v.Kinds[i].State = ""
	}
	return v, nil
}

func ruleNames(set *config.Set) []string {
	var names []string
	for i := range set.Rules {
		names = append(names, set.Rules[i].Name)
	}
	return names
}
