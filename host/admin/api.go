package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

type api struct {
	host    Host
	log     *slog.Logger
	refused func(peer, operator string, e *Error) // Options.Refused
	sending *sending
	bodies  slots // of requests with a large body
}

func newAPI(h Host, o Options) *api {
	return &api{host: h, log: o.Logger, refused: o.Refused, sending: newSending(maxHeldBytes), bodies: newSlots(maxLargeBodies)}
}

func (a *api) mount(mux *http.ServeMux, routes []route) {
	for _, rt := range routes {
		mux.Handle(rt.path, rt.handler(a))
	}
}

// notFound returns a handler whose error lists the paths.
func (a *api) notFound(routes []route) http.Handler {
	paths := make([]string, 0, len(routes))
	for _, rt := range routes {
		paths = append(paths, rt.path)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, Errorf(CodeNotFound, "unknown path %s", shown(r.URL.Path)).
			WithHelp("paths: %s", strings.Join(paths, " ")))
	})
}

// fail writes an error. The text of one that is not an *Error is only logged, since it may contain anything.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e *Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		e = Errorf(CodeUnavailable, "the host did not answer in time")
	default:
		a.logError(r, err)
		e = Errorf(CodeInternal, "internal error").WithHelp("see the log of the host")
	}
	a.write(w, r, e.Status, "application/problem+json", e)
}

func (a *api) logError(r *http.Request, err error) {
	if a.log != nil {
		a.log.ErrorContext(r.Context(), "admin request failed", slog.String("path", r.URL.Path), slog.Any("error", err))
	}
}

// write writes a response of a few lines.
func (a *api) write(w http.ResponseWriter, r *http.Request, status int, contentType string, answer any) {
	a.send(w, r, status, contentType, a.encode(r, answer))
}

// encode returns a response as JSON; nil if it has none.
func (a *api) encode(r *http.Request, answer any) []byte {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(answer); err != nil {
		a.logError(r, fmt.Errorf("encode the response: %w", err))
		return nil
	}
	return bytes.Clone(body.Bytes()) // the buffer may be twice as large
}

// send sends a response that encode has returned.
func (a *api) send(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	if body == nil {
		http.Error(w, "{}", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = a.sending.writer(w).Write(body) //nolint:gosec // it is JSON, with nosniff; the client may be gone
	}
}

// recovered turns a panic into an internal error, and logs it.
func (a *api) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v) //nolint:forbidigo // net/http expects it, and closes the connection
			}
			a.logError(r, fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
			a.fail(w, r, Errorf(CodeInternal, "internal error").WithHelp("see the log of the host"))
		}()
		next.ServeHTTP(w, r)
	})
}

// checksTimeout bounds the checks, so that a probe is told which of them hang before it times out.
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
	metrics := a.host.Metrics()
	return route{method: http.MethodGet, path: metricsPath(path), handle: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		metrics.ServeHTTP(a.sending.writer(w), r)
	})}
}

func (a *api) routes() []route {
	get := http.MethodGet
	return []route{
		{method: get, path: "/api/v1/status", atOnce: few, serve: a.status},
		{method: get, path: "/api/v1/services", atOnce: few, serve: a.services},
		{method: get, path: "/api/v1/rules", atOnce: 1, serve: a.rules},
		{
			method: get, path: "/api/v1/explain", atOnce: 1, serve: a.explain,
			params: []string{"service", "upstream", "method", "caller", "identity", "peer", "rule", "revision"},
		},
		{method: get, path: "/api/v1/revisions", atOnce: 1, serve: a.revisions},
		{method: get, path: "/api/v1/revisions/{number}", atOnce: 1, serve: a.revision},
		{method: get, path: "/api/v1/revisions/{number}/files", atOnce: 1, serve: a.revisionFiles},
		{method: get, path: "/api/v1/refusals", params: []string{"caller", "since"}, atOnce: 1, serve: a.refusals},
		{method: get, path: "/api/v1/top", params: []string{"by", "method", "rows"}, atOnce: 1, serve: a.top},
		{method: get, path: "/api/v1/diff", atOnce: few, serve: a.diff, post: a.plan},
		{method: http.MethodPost, path: "/api/v1/apply", serve: a.apply},
		{method: http.MethodPost, path: "/api/v1/rollback/{number}", serve: a.rollback},
		{method: http.MethodPost, path: "/api/v1/confirm", serve: a.confirm},
		{method: get, path: "/api/v1/config", atOnce: 1, serve: a.config},
		{method: http.MethodPost, path: "/api/v1/drain", serve: a.drain},
		{method: http.MethodPost, path: "/api/v1/undrain", serve: a.undrain},
		{method: http.MethodPost, path: "/api/v1/reload", params: []string{"force"}, serve: a.reload},
	}
}

// ready returns the failed checks, without their details, which are in the status.
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
			answer.Checks = append(answer.Checks, Check{Name: c.Name, OK: c.OK, Warning: c.Warning})
		}
	}
	return answer, nil
}

func (a *api) status(r *http.Request, _ params) (any, error) {
	s, err := a.host.Status(r.Context())
	if err != nil {
		return nil, err
	}
	fill(s)
	return s, nil
}

// named returns the response with a list, whose only key is name.
func named[T any](name string, list []T) map[string][]T {
	return map[string][]T{name: append([]T{}, list...)} // [] in JSON, not null
}

func (a *api) services(r *http.Request, _ params) (any, error) {
	list, err := a.host.Services(r.Context())
	return named("services", list), err
}

func (a *api) rules(r *http.Request, _ params) (any, error) {
	list, err := a.host.Rules(r.Context())
	return named("rules", list), err
}

func (a *api) explain(r *http.Request, p params) (any, error) {
	if name, ok := p["rule"]; ok {
		return a.explainRule(r, name, p)
	}
	if _, ok := p["revision"]; ok {
		return nil, Errorf(CodeBadRequest, "revision needs rule").WithHelp("?rule=arith-mul&revision=42")
	}
	q := ExplainQuery{Service: p["service"], Method: p["method"], Caller: p["caller"], Upstream: p["upstream"]}
	if service, method, ok := SplitMethod(q.Method); ok && (q.Service == "" && q.Upstream == "" || q.Service == service || q.Upstream == service) {
		q.Method = method
		if q.Upstream == "" {
			q.Service = service
		}
	}
	if (q.Service == "") == (q.Upstream == "") || q.Method == "" {
		return nil, Errorf(CodeBadRequest, "service and method, or rule, are required").
			WithHelp("?service=Arith&method=Mul&caller=web-1, ?upstream=billing&method=Get, or ?rule=arith-mul&revision=42")
	}
	var err error
	if q.Peer, err = p.peer(); err != nil {
		return nil, err
	}
	if q.Identity, err = p.identity(); err != nil {
		return nil, err
	}
	e, err := a.host.Explain(r.Context(), q)
	if err != nil {
		return nil, err
	}
	fill(&e.Explanation)
	return e, nil
}

func (a *api) explainRule(r *http.Request, name string, p params) (any, error) {
	for _, other := range []string{"service", "upstream", "method", "caller", "identity", "peer"} {
		if _, ok := p[other]; ok {
			return nil, Errorf(CodeBadRequest, "rule and %s are mutually exclusive", other).
				WithHelp("give rule, or service and method")
		}
	}
	if name == "" {
		return nil, badValue("rule", name, "a rule name")
	}
	if rule, revision, ok := strings.Cut(name, "@"); ok && p["revision"] == "" { // as in logs
		name, p["revision"] = rule, revision
	}
	n, err := p.revision()
	if err != nil {
		return nil, err
	}
	return a.host.ExplainRule(r.Context(), name, n)
}

func (a *api) revisions(r *http.Request, _ params) (any, error) {
	list, err := a.host.Revisions(r.Context())
	return named("revisions", list), err
}

func (a *api) revision(r *http.Request, _ params) (any, error) {
	n, err := params{"revision": r.PathValue("number")}.revision()
	if err != nil {
		return nil, err
	}
	return a.host.Revision(r.Context(), n)
}

func (a *api) revisionFiles(r *http.Request, _ params) (any, error) {
	n, err := params{"revision": r.PathValue("number")}.revision()
	if err != nil {
		return nil, err
	}
	list, err := a.host.RevisionFiles(r.Context(), n)
	return named("files", list), err
}

func (a *api) refusals(r *http.Request, p params) (any, error) {
	since, err := p.since(time.Now())
	if err != nil {
		return nil, err
	}
	list, err := a.host.Refusals(r.Context(), RefusalQuery{Caller: p["caller"], Since: since})
	return named("refusals", list), err
}

func (a *api) top(r *http.Request, p params) (any, error) {
	q, err := p.top()
	if err != nil {
		return nil, err
	}
	return a.host.Top(r.Context(), q)
}

func (a *api) diff(r *http.Request, _ params) (any, error) {
	d, err := a.host.Diff(r.Context())
	if err != nil {
		return nil, err
	}
	fill(d)
	return d, nil
}

func (a *api) config(r *http.Request, _ params) (any, error) {
	c, err := a.host.Config(r.Context())
	if err != nil {
		return nil, err
	}
	fill(c)
	return c, nil
}

func (a *api) drain(r *http.Request, _ params) (any, error) {
	s, err := a.host.Drain(r.Context(), who(r))
	if err != nil {
		return nil, err
	}
	fill(s)
	return s, nil
}

func (a *api) undrain(r *http.Request, _ params) (any, error) {
	s, err := a.host.Undrain(r.Context(), who(r))
	if err != nil {
		return nil, err
	}
	fill(s)
	return s, nil
}

func (a *api) plan(r *http.Request, _ params) (any, error) {
	q, err := readApply(r)
	if err != nil {
		return nil, err
	}
	d, err := a.host.Plan(r.Context(), q)
	if err != nil {
		return nil, err
	}
	fill(d)
	return d, nil
}

func (a *api) apply(r *http.Request, _ params) (any, error) {
	q, err := readApply(r)
	q.Unreadable = err
	return a.host.Apply(r.Context(), q)
}

func (a *api) rollback(r *http.Request, _ params) (any, error) {
	n, err := params{"revision": r.PathValue("number")}.revision()
	if err != nil {
		return nil, err
	}
	q := RollbackRequest{Revision: n, IfMatch: ifMatch(r), Who: who(r)}
	if err := readBody(r, &q, maxText); err != nil {
		return nil, err
	}
	return a.host.Rollback(r.Context(), q)
}

func (a *api) confirm(r *http.Request, _ params) (any, error) {
	return a.host.Confirm(r.Context(), who(r))
}

func (a *api) reload(r *http.Request, p params) (any, error) {
	force, err := p.flag("force")
	if err != nil {
		return nil, err
	}
	return a.host.Reload(r.Context(), ReloadRequest{Who: who(r), Force: force})
}
