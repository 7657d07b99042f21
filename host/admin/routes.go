package admin

import (
	"context"
	"net"
	"net/http"
	"strings"
	"time"
)

func (r Readiness) httpStatus() int {
	if r.Ready {
		return http.StatusOK
	}
	return http.StatusServiceUnavailable
}

// checksTimeout ends the checks before a prober, which would not hear which of them hang, gives up.
const checksTimeout = 3 * time.Second

func (a *api) healthRoutes() []route {
	alive := func(*http.Request, params) (any, error) { return map[string]string{"status": "ok"}, nil }
	return []route{
		{method: http.MethodGet, path: "/livez", serve: alive},
		{method: http.MethodGet, path: "/healthz", serve: alive},
		{method: http.MethodGet, path: "/readyz", params: []string{"verbose"}, serve: a.ready},
	}
}

func (a *api) metricsRoute(path string) route {
	return route{method: http.MethodGet, path: metricsPath(path), handle: a.host.Metrics()}
}

func (a *api) routes() []route {
	get := http.MethodGet
	return []route{
		{method: get, path: "/api/v1/status", serve: a.status},
		{method: get, path: "/api/v1/services", serve: a.services},
		{method: get, path: "/api/v1/rules", serve: a.rules},
		{
			method: get, path: "/api/v1/explain", serve: a.explain,
			params: []string{"service", "upstream", "method", "caller", "peer", "rule", "revision"},
		},
		{method: get, path: "/api/v1/revisions", serve: a.revisions},
		{method: get, path: "/api/v1/revisions/{number}", serve: a.revision},
		{method: get, path: "/api/v1/refusals", params: []string{"caller", "since"}, serve: a.refusals},
		{method: http.MethodPost, path: "/api/v1/reload", params: []string{"force"}, serve: a.reload},
	}
}

// ready names the checks that fail and keeps their details, which may tell of the inside, for the status.
func (a *api) ready(r *http.Request, p params) (any, error) {
	verbose, err := p.flag("verbose")
	if err != nil {
		return nil, err
	}
	answer := Readiness{Ready: true}
	ctx, cancel := context.WithTimeout(r.Context(), checksTimeout)
	defer cancel()
	for _, c := range a.host.Checks(ctx) {
		answer.Ready = answer.Ready && c.OK
		if verbose || !c.OK {
			answer.Checks = append(answer.Checks, Check{Name: c.Name, OK: c.OK})
		}
	}
	return answer, nil
}

func (a *api) status(r *http.Request, _ params) (any, error) {
	s, err := a.host.Status(r.Context())
	if err != nil {
		return nil, err
	}
	out := *s
	fill(&out.Checks)
	fill(&out.PendingRestart)
	fill(&out.NotAccepting)
	fill(&out.Listeners)
	fill(&out.Services)
	fill(&out.Breakers)
	fill(&out.Limiters)
	fill(&out.Upstreams)
	fill(&out.Discovery)
	fill(&out.Expiring)
	fill(&out.Warnings)
	return &out, nil
}

// fill makes an absent list an empty one, so that it is [] and not null.
func fill[T any](list *[]T) {
	if *list == nil {
		*list = []T{}
	}
}

type serviceList struct {
	Services []Service `json:"services"`
}

func (a *api) services(r *http.Request, _ params) (any, error) {
	list, err := a.host.Services(r.Context())
	fill(&list)
	return serviceList{list}, err
}

type ruleList struct {
	Rules []Rule `json:"rules"`
}

func (a *api) rules(r *http.Request, _ params) (any, error) {
	list, err := a.host.Rules(r.Context())
	fill(&list)
	return ruleList{list}, err
}

func (a *api) explain(r *http.Request, p params) (any, error) {
	if name, ok := p["rule"]; ok {
		return a.explainRule(r, name, p)
	}
	if _, ok := p["revision"]; ok {
		return nil, Errorf(CodeBadRequest, "revision goes with rule").WithHelp("?rule=arith-mul&revision=42")
	}
	q := ExplainQuery{Service: p["service"], Method: p["method"], Caller: p["caller"], Upstream: p["upstream"]}
	if service, method, ok := SplitMethod(q.Method); ok && (q.Service == "" && q.Upstream == "" || q.Service == service || q.Upstream == service) {
		q.Method = method
		if q.Upstream == "" {
			q.Service = service
		}
	}
	if (q.Service == "") == (q.Upstream == "") || q.Method == "" {
		return nil, Errorf(CodeBadRequest, "service and method are needed, or rule").
			WithHelp("?service=Arith&method=Mul&caller=web-1, ?upstream=billing&method=Get, or ?rule=arith-mul&revision=42")
	}
	peer, err := p.peer("peer")
	if err != nil {
		return nil, err
	}
	q.Peer = peer
	e, err := a.host.Explain(r.Context(), q)
	if err != nil {
		return nil, err
	}
	out := *e
	fill(&out.Kinds)
	return &out, nil
}

func (a *api) explainRule(r *http.Request, name string, p params) (any, error) {
	for _, other := range []string{"service", "upstream", "method", "caller", "peer"} {
		if _, ok := p[other]; ok {
			return nil, Errorf(CodeBadRequest, "rule and %s do not go together", other).
				WithHelp("ask for a rule, or for a call by service and method")
		}
	}
	if name == "" {
		return nil, badValue("rule", name, "the name of a rule")
	}
	if rule, revision, ok := strings.Cut(name, "@"); ok && p["revision"] == "" { // as logs have it
		name, p["revision"] = rule, revision
	}
	n, err := p.revision("revision")
	if err != nil {
		return nil, err
	}
	return a.host.ExplainRule(r.Context(), name, n)
}

type revisionList struct {
	Revisions []Revision `json:"revisions"`
}

func (a *api) revisions(r *http.Request, _ params) (any, error) {
	list, err := a.host.Revisions(r.Context())
	fill(&list)
	return revisionList{list}, err
}

func (a *api) revision(r *http.Request, _ params) (any, error) {
	n, err := parseRevision("revision", r.PathValue("number"))
	if err != nil {
		return nil, err
	}
	return a.host.Revision(r.Context(), n)
}

type refusalList struct {
	Refusals []Refusal `json:"refusals"`
}

func (a *api) refusals(r *http.Request, p params) (any, error) {
	since, err := p.since("since", time.Now())
	if err != nil {
		return nil, err
	}
	list, err := a.host.Refusals(r.Context(), RefusalQuery{Caller: p["caller"], Since: since})
	fill(&list)
	return refusalList{list}, err
}

func (a *api) reload(r *http.Request, p params) (any, error) {
	force, err := p.flag("force")
	if err != nil {
		return nil, err
	}
	rev, err := a.host.Reload(r.Context(), ReloadRequest{Who: who(r), Force: force})
	if err != nil {
		return nil, err
	}
	if rev.Result == "rejected" {
		detail := rev.Error
		if detail == "" {
			detail = "the files have problems; what ran before runs on"
		}
		return nil, Errorf(CodeRejected, "%s", detail).WithHelp("correct the files and save them").WithProblems(rev.Problems)
	}
	return rev, nil
}

// who is the address of the client, for the record.
func who(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "unix socket"
	}
	return host
}
