package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

func TestEveryPathAnswersItsMethodAndNoOther(t *testing.T) {
	addr := local(t, &told{}, Options{})
	paths := map[string]string{
		"/livez": "GET", "/readyz": "GET", "/healthz": "GET", "/metrics": "GET",
		"/api/v1/status": "GET", "/api/v1/services": "GET", "/api/v1/rules": "GET",
		"/api/v1/explain?service=Arith&method=Mul": "GET", "/api/v1/explain?rule=r": "GET",
		"/api/v1/revisions": "GET", "/api/v1/revisions/1": "GET", "/api/v1/refusals": "GET", "/api/v1/top": "GET", "/api/v1/override/limit.web/drop": "POST", "/api/v1/breakers": "GET", "/api/v1/shadow": "GET", "/api/v1/breakers/a%2Fb/reset": "POST", "/api/v1/diff": "GET POST", "/api/v1/reload": "POST",
		"/api/v1/apply": "POST", "/api/v1/rollback/1": "POST", "/api/v1/confirm": "POST",
		"/api/v1/config": "GET", "/api/v1/drain": "POST", "/api/v1/undrain": "POST",
	}
	for path, allowed := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"} {
			a := ask(t, method, "http://"+addr+path, nil)
			if slices.Contains(strings.Fields(allowed), method) || method == "HEAD" && strings.HasPrefix(allowed, "GET") {
				if a.status != http.StatusOK {
					t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
				}
				continue
			}
			if a.status != http.StatusMethodNotAllowed || !strings.HasPrefix(a.header.Get("Allow"), strings.Fields(allowed)[0]) {
				t.Errorf("%s %s: %d, Allow %q", method, path, a.status, a.header.Get("Allow"))
			}
		}
	}
}

func TestBadRequestsGetTheReasonAndTheRemedy(t *testing.T) {
	addr := local(t, &told{}, Options{})
	for _, c := range []struct {
		request string
		status  int
		code    string
		detail  string
		help    string
	}{
		{"GET /api/v1/stats", 404, CodeNotFound, `unknown path "/api/v1/stats"`, "/api/v1/status"},
		{"GET /", 404, CodeNotFound, `unknown path "/"`, "/readyz"},
		{"GET /api/v1/revisions/1/2", 404, CodeNotFound, "unknown path", "paths:"},
		{"POST /api/v1/status", 405, CodeMethodNotAllowed, `"POST" is not allowed on /api/v1/status`, "use GET"},
		{"GET /api/v1/reload", 405, CodeMethodNotAllowed, "GET", "use POST"},
		{"GET /api/v1/status?x=1", 400, CodeBadRequest, `unknown query parameter "x"`, "this path takes none"},
		{"GET /api/v1/refusals?calller=web", 400, CodeBadRequest, `unknown query parameter "calller"`, "known: caller, since"},
		{"GET /api/v1/refusals?caller=a&caller=b", 400, CodeBadRequest, `"caller" is given 2 times`, "once"},
		{"GET /api/v1/refusals?since=yesterday", 400, CodeBadRequest, `since: cannot read "yesterday"`, "such as 10m"},
		{"GET /api/v1/refusals?since=-10m", 400, CodeBadRequest, `"-10m"`, "a duration such as 10m"},
		{"GET /api/v1/refusals?caller=%zz", 400, CodeBadRequest, "invalid query string", "escape %"},
		{"GET /api/v1/top?by=host", 400, CodeBadRequest, `by: cannot read "host"`, "caller, method, peer or a list"},
		{"GET /api/v1/top?by=peer,peer", 400, CodeBadRequest, `by: cannot read "peer,peer"`, "caller, method, peer or a list"},
		{"GET /api/v1/top?method=Mul", 400, CodeBadRequest, `method: cannot read "Mul"`, "such as Arith.Mul"},
		{"GET /api/v1/top?rows=0", 400, CodeBadRequest, `rows: cannot read "0"`, "from 1 to 1000"},
		{"POST /api/v1/limit", 400, CodeBadRequest, `for_seconds: cannot read "0"`, "from 1 to 604800"},
		{"POST /api/v1/breakers/r/open", 400, CodeBadRequest, `for_seconds: cannot read "0"`, "from 1 to 604800"},
		{"POST /api/v1/breakers/r/opened", 404, CodeNotFound, `a breaker cannot be "opened"`, "want open, closed or reset"},
		{"GET /api/v1/block", 405, CodeMethodNotAllowed, "GET", "use POST"},
		{"GET /api/v1/revisions/0", 400, CodeBadRequest, `cannot read "0"`, "such as 42"},
		{"GET /api/v1/revisions/latest", 400, CodeBadRequest, `cannot read "latest"`, "such as 42"},
		{"GET /api/v1/revisions/99999999999999999999", 400, CodeBadRequest, "cannot read", "such as 42"},
		{"GET /api/v1/revisions/9", 404, CodeNotFound, "there is no revision 9", "easymicro history"},
		{"GET /api/v1/explain", 400, CodeBadRequest, "service and method, or rule, are required", "?service=Arith"},
		{"GET /api/v1/explain?service=Arith", 400, CodeBadRequest, "service and method, or rule, are required", "rule="},
		{"GET /api/v1/explain?service=A&method=M&peer=there", 400, CodeBadRequest, `peer: cannot read "there"`, "IP address"},
		{"GET /api/v1/explain?service=A&method=M&revision=1", 400, CodeBadRequest, "revision needs rule", "?rule="},
		{"GET /api/v1/explain?rule=a&service=A", 400, CodeBadRequest, "rule and service are mutually exclusive", "give rule, or service and method"},
		{"GET /api/v1/explain?rule=a@now", 400, CodeBadRequest, "revision: cannot read", "a revision number"},
		{"GET /api/v1/explain?rule=", 400, CodeBadRequest, "rule: cannot read", "a rule name"},
		{"POST /api/v1/reload?force=maybe", 400, CodeBadRequest, `force: cannot read "maybe"`, "true or false"},
		{"GET /readyz?verbose=maybe", 400, CodeBadRequest, `verbose: cannot read "maybe"`, "true or false"},
		{"GET /debug/pprof/", 404, CodeNotFound, "unknown path", "paths:"},
	} {
		method, path, _ := strings.Cut(c.request, " ")
		a := ask(t, method, "http://"+addr+path, nil)
		var e Error
		if err := json.Unmarshal([]byte(a.body), &e); err != nil || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %v, %s: %s", c.request, err, a.header.Get("Content-Type"), a.body)
			continue
		}
		if a.status != c.status || e.Status != c.status || e.Code != c.code || e.Title != http.StatusText(c.status) ||
			!strings.Contains(e.Detail, c.detail) || !strings.Contains(e.Help, c.help) {
			t.Errorf("%s: %d %+v", c.request, a.status, e)
		}
	}
}

func TestListsAreNeverNull(t *testing.T) {
	addr := local(t, &told{}, Options{})
	for _, path := range []string{"/api/v1/status", "/api/v1/services", "/api/v1/explain?service=A&method=M", "/api/v1/config"} {
		a := ask(t, "GET", "http://"+addr+path, nil)
		a.wants(t, 200, "[]")
		if strings.Contains(a.body, "null") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	for _, key := range []string{`"desired"`, `"running"`, `"last_attempt"`, `"pending_restart"`, `"uptime_seconds"`} {
		ask(t, "GET", "http://"+addr+"/api/v1/status", nil).wants(t, 200, key)
	}
}

// What logs, metrics and spans have in one word is taken in one parameter.
func TestExplainTakesNamesInOneParameter(t *testing.T) {
	h := &told{}
	addr := local(t, h, Options{})
	for query, want := range map[string]ExplainQuery{
		"service=Arith&method=Mul":        {Service: "Arith", Method: "Mul"},
		"method=Arith/Mul":                {Service: "Arith", Method: "Mul"},
		"method=Arith.Mul":                {Service: "Arith", Method: "Mul"},
		"service=Arith&method=Arith/Mul":  {Service: "Arith", Method: "Mul"},
		"upstream=Arith&method=Arith/Mul": {Upstream: "Arith", Method: "Mul"},
		"method=shop.v1.Orders/Get":       {Service: "shop.v1.Orders", Method: "Get"},
		"service=Desk&method=Arith.Mul":   {Service: "Desk", Method: "Arith.Mul"},
	} {
		ask(t, "GET", "http://"+addr+"/api/v1/explain?"+query, nil).wants(t, http.StatusOK)
		if !reflect.DeepEqual(h.explained, want) {
			t.Errorf("%s asks for %+v", query, h.explained)
		}
	}
	for query, want := range map[string]int{"rule=a@r7": 7, "rule=a@7": 7, "rule=a&revision=r7": 7, "rule=a": 0} {
		ask(t, "GET", "http://"+addr+"/api/v1/explain?"+query, nil).wants(t, http.StatusOK)
		if h.rule != "a" || h.revision != want {
			t.Errorf("%s asks for %s in %d", query, h.rule, h.revision)
		}
	}
}

func TestReadyNamesWhatFailsAndKeepsTheDetails(t *testing.T) {
	h := &told{checks: []Check{{Name: "listeners", OK: true}, {Name: "service Orders", Detail: "dial db-7: password rejected"}}}
	addr := local(t, h, Options{})
	a := ask(t, "GET", "http://"+addr+"/readyz", nil)
	a.wants(t, http.StatusServiceUnavailable, `"ready": false`, "service Orders")
	if strings.Contains(a.body, "db-7") || strings.Contains(a.body, "listeners") {
		t.Errorf("says too much: %s", a.body)
	}
	ask(t, "GET", "http://"+addr+"/readyz?verbose", nil).wants(t, http.StatusServiceUnavailable, "listeners")
	ask(t, "GET", "http://"+addr+"/livez", nil).wants(t, http.StatusOK)
	ask(t, "GET", "http://"+addr+"/healthz", nil).wants(t, http.StatusOK)
	h.checks = h.checks[:1]
	ask(t, "GET", "http://"+addr+"/readyz", nil).wants(t, http.StatusOK, `"ready": true`)
}

func TestARejectedReloadIsAnErrorWithItsProblems(t *testing.T) {
	h := &told{err: Errorf(CodeRejected, "not applied").WithProblems(config.Problems{{File: "policies.yaml", Line: 4, Message: "unknown key", Suggestion: "rate"}})}
	addr := local(t, h, Options{})
	ask(t, "POST", "http://"+addr+"/api/v1/reload?force", nil).
		wants(t, http.StatusUnprocessableEntity, CodeRejected, "policies.yaml", `"suggestion": "rate"`)
	if !h.reload.Force || h.reload.Who != "127.0.0.1" {
		t.Errorf("%+v", h.reload)
	}
}

// panics is a host whose rules cannot be listed.
type panics struct{ told }

func (*panics) Rules(context.Context) ([]policies.RuleState, error) { panic("canary-panic") }

func TestWhatGoesWrongInsideStaysInside(t *testing.T) {
	var log bytes.Buffer
	h := &panics{told{err: errors.New("open /etc/secret: canary-error")}}
	addr := local(t, h, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for path, canary := range map[string]string{"status": "canary-error", "rules": "canary-panic", "services": "canary-error"} {
		a := ask(t, "GET", "http://"+addr+"/api/v1/"+path, nil)
		a.wants(t, 500, CodeInternal, "see the log of the host")
		if strings.Contains(a.body, "canary") {
			t.Errorf("%s: %s", path, a.body)
		}
		if !strings.Contains(log.String(), canary) {
			t.Errorf("%s: the log does not say why: %s", path, log.String())
		}
	}
	h.err = fmt.Errorf("wait for it: %w", context.DeadlineExceeded)
	ask(t, "GET", "http://"+addr+"/api/v1/status", nil).wants(t, http.StatusServiceUnavailable, CodeUnavailable)
	h.err = fmt.Errorf("explain: %w", Errorf(CodeNotFound, "no method Arith.Mull").WithHelp("did you mean Mul?"))
	ask(t, "GET", "http://"+addr+"/api/v1/status", nil).wants(t, 404, "no method Arith.Mull", "did you mean Mul?")
}

func TestTheMetricsPathCannotHideAnother(t *testing.T) {
	for path, want := range map[string]string{
		"": "/metrics", "/metrics": "/metrics", "/prom": "/prom", "prom": "/metrics", "/": "/metrics", "/livez": "/metrics",
		"/api/v1/status": "/metrics", "/{x}": "/metrics", "/a b": "/metrics",
	} {
		addr := serve(t, "tcp", "127.0.0.1:0", HealthHandler(&told{}, Options{MetricsPath: path}))
		ask(t, "GET", "http://"+addr+want, nil).wants(t, 200, "some_metric 1")
		ask(t, "GET", "http://"+addr+"/livez", nil).wants(t, 200, "ok")
		ask(t, "GET", "http://"+local(t, &told{}, Options{MetricsPath: path})+want, nil).wants(t, 200, "some_metric 1")
	}
}

func TestPprofIsThereOnlyWhenSwitchedOn(t *testing.T) {
	off, on := local(t, &told{}, Options{}), local(t, &told{}, Options{Pprof: true})
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap"} {
		ask(t, "GET", "http://"+off+path, nil).wants(t, 404)
		ask(t, "GET", "http://"+on+path, nil).wants(t, 200)
	}
	health := serve(t, "tcp", "127.0.0.1:0", HealthHandler(&told{}, Options{Pprof: true}))
	ask(t, "GET", "http://"+health+"/debug/pprof/", nil).wants(t, 404)
}

func TestBodiesAreChecked(t *testing.T) {
	h := &told{}
	addr := local(t, h, Options{})
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"block", `{"method":"*","for_seconds":60}`, 400},
		{"block", `{"method":"*","caller":"*","for_seconds":60}`, 200},
		{"block", `{"method":"*","peer":"10.0.0.0/8","for_seconds":1.5}`, 200},
		{"apply", `{"promote":{"rule":"x","enforce_share":"10%"}}`, 200},
		{"apply", `{"promote":{"rule":"x"},"files":[{"path":"p.yaml"}]}`, 400},
		{"diff", `{"promote":{"rule":"x"},"prune":true}`, 400},
	} {
		a := ask(t, "POST", "http://"+addr+"/api/v1/"+c.path, func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(c.body)), int64(len(c.body))
			r.Header.Set("Content-Type", "application/json")
		})
		if a.status != c.status {
			t.Errorf("%s %s: %d %s", c.path, c.body, a.status, a.body)
		}
	}
	if p := h.apply.Promote; p == nil || *p != (Promotion{"x", "10%"}) {
		t.Errorf("%+v", h.apply)
	}
}
