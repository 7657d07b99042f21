package host_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
)

// auditOptions are the options of test.audit.
type auditOptions struct {
	Word string `required:"true"`
	Max  int    `min:"1"`
}

// journal keeps what the interceptors of a test have seen.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

// take returns the lines since the last call.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.lines
	j.lines = nil
	return lines
}

// interceptors returns a registry with test.arith, test.desk and some interceptors, which write into a journal.
func interceptors(t *testing.T) (*registry.Registry, *journal) {
	t.Helper()
	j, reg := new(journal), registry.New()
	registry.Plain(arith{}, registry.As("test.arith"), registry.In(reg), registry.Reuse())
	registry.Plain(panicky{}, registry.As("test.panicky"), registry.In(reg))
	registry.Register("test.desk", struct{}{}, func(_ context.Context, _ struct{}, e registry.Env) (*registry.Service, error) {
		return registry.Receiver(&desk{till: e.Client("till")}), nil
	}, registry.Uses("till"), registry.Methods[*desk](), registry.In(reg))
	registry.Around("test.audit", auditOptions{Max: 9}, func(_ context.Context, o auditOptions, e registry.Env) (*registry.Service, error) {
		var mu sync.Mutex
		j.add("open %s for %q", o.Word, e.Service())
		return registry.Intercept(func(ctx context.Context, call *registry.Invocation, next registry.Next) error {
			mu.Lock()
			word := o.Word
			mu.Unlock()
			err := next(registry.WithOutgoing(ctx, "audited", word))
			j.add("%s %s%s.%s by %s: %+v → %+v %v", word, call.Upstream, call.Service, call.Method, call.Caller, call.Args, call.Reply, code.Of(err))
			call.ReplyMetadata.Set("audited-"+word, call.Metadata.Get("tenant"))
			return err
		}).OnOptions(func(_ context.Context, next auditOptions) error {
			mu.Lock()
			defer mu.Unlock()
			o = next
			return nil
		}).OnClose(func() error { j.add("close %s", o.Word); return nil }), nil
	}, registry.In(reg))
	registry.Around("test.refuse", struct{}{}, func(context.Context, struct{}, registry.Env) (*registry.Service, error) {
		return registry.Intercept(func(context.Context, *registry.Invocation, registry.Next) error {
			return code.Errorf(code.PermissionDenied, "not on a Sunday").WithReason("sunday")
		}), nil
	}, registry.In(reg))
	registry.Around("test.answer", struct{}{}, func(context.Context, struct{}, registry.Env) (*registry.Service, error) {
		return registry.Intercept(func(_ context.Context, call *registry.Invocation, _ registry.Next) error {
			call.Reply.(*reply).C = 42
			return nil
		}), nil
	}, registry.In(reg))
	registry.Around("test.panic", struct{}{}, func(context.Context, struct{}, registry.Env) (*registry.Service, error) {
		return registry.Intercept(func(context.Context, *registry.Invocation, registry.Next) error { panic("no ink") }), nil
	}, registry.In(reg))
	registry.Around("test.other", struct{}{}, func(context.Context, struct{}, registry.Env) (*registry.Service, error) {
		return registry.Intercept(func(ctx context.Context, call *registry.Invocation, next registry.Next) error {
			err := next(ctx)
			call.Reply = new(int)
			return err
		}), nil
	}, registry.In(reg))
	return reg, j
}

// first registers test.first, which runs before the rules, and fails with its option if that is set.
func first(reg *registry.Registry, j *journal) *registry.Registry {
	type options struct{ Refuse, Replace string }
	registry.Around("test.first", options{}, func(_ context.Context, o options, _ registry.Env) (*registry.Service, error) {
		return registry.Intercept(func(ctx context.Context, call *registry.Invocation, next registry.Next) error {
			if o.Refuse != "" {
				return code.Errorf(code.PermissionDenied, "%s", o.Refuse)
			}
			err := next(ctx)
			j.add("first: %+v → %+v %v", call.Args, call.Reply, code.Of(err))
			if o.Replace != "" {
				return code.Errorf(code.NotFound, "%s", o.Replace)
			}
			return nil
		}), nil
	}, registry.BeforeRules(), registry.In(reg))
	return reg
}

func TestAnInterceptorBeforeTheRulesSeesWhatTheyRefuse(t *testing.T) {
	t.Parallel()
	const denied = "\npolicies: {rules: [{name: closed, match: {service: Arith}, access: {deny: [{caller: '*'}]}}]}"
	for _, tc := range []struct {
		handler, around, rules string
		status                 int
		want                   string // in the body
		seen                   []string
	}{
		{"test.arith", "test.first", "", http.StatusOK, "42", []string{"first: &{A:6 B:7} → &{C:42} OK"}},
		{"test.arith", "test.answer, test.first", "", http.StatusOK, "42", []string{"first: &{A:6 B:7} → &{C:42} OK"}},
		{"test.arith", "test.first", denied, http.StatusForbidden, `"rule":"closed@r1"`, []string{"first: <nil> → <nil> PERMISSION_DENIED"}},
		{"test.panicky", "test.first", "", http.StatusInternalServerError, "the handler panicked", []string{"first: &{A:6 B:7} → &{C:0} INTERNAL"}},
		{"test.arith", "{name: test.first, options: {refuse: on Sundays}}", "", http.StatusForbidden, "on Sundays", nil},
		{"test.arith", "{name: test.first, options: {replace: hidden}}", "", http.StatusNotFound, "hidden", []string{"first: &{A:6 B:7} → &{C:42} OK"}},
		{"test.arith", "{name: test.first, options: {replace: hidden}}", denied, http.StatusNotFound, "hidden", []string{"first: <nil> → <nil> PERMISSION_DENIED"}},
	} {
		reg, j := interceptors(t)
		h := hosttest.Start(t, "services: [{name: Arith, handler: "+tc.handler+", around: ["+tc.around+"]}]"+tc.rules, hosttest.Options{Registry: first(reg, j)})
		res, body := h.Post("/Arith/Mul", `{"A":6,"B":7}`)
		if res.StatusCode != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s%s: %s %s, want %d %s", tc.around, tc.rules, res.Status, body, tc.status, tc.want)
		}
		if got := j.take(); !slices.Equal(got, tc.seen) {
			t.Errorf("%s%s: %q, want %q", tc.around, tc.rules, got, tc.seen)
		}
	}
}

type panicky struct{}

func (panicky) Mul(context.Context, *args, *reply) error { panic("in the handler") }

func TestInterceptorsRunAroundCallsInTheOrderOfTheManifest(t *testing.T) {
	t.Parallel()
	reg, j := interceptors(t)
	h := hosttest.Start(t, `
around: [{name: test.audit, options: {word: all}}]
services:
  - {name: Arith, handler: test.arith, around: [test.pass, {name: test.audit2, options: {word: own}}]}
  - {name: Plain, handler: test.arith}
`, hosttest.Options{Registry: passing(reg, j)})
	if got, want := j.take(), []string{`open all for ""`, `open own for "Arith"`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	res, body := h.Post("/Arith/Mul", `{"A":6,"B":7}`, "Easymicro-Meta", "tenant=blue")
	if res.StatusCode != http.StatusOK || !strings.Contains(body, "42") {
		t.Fatalf("%s %s", res.Status, body)
	}
	want := []string{
		"pass before", "own Arith.Mul by anonymous: &{A:6 B:7} → &{C:42} OK", "pass after",
		"all Arith.Mul by anonymous: &{A:6 B:7} → &{C:42} OK",
	}
	if got := j.take(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := res.Header.Get("Easymicro-Meta"); got != "audited-own=blue&audited-all=blue" {
		t.Errorf("%v: the metadata of the reply is missing", res.Header)
	}
	services, err := h.Admin.Services(t.Context())
	if err != nil || !slices.Equal(services[0].Around, []string{"test.audit", "test.pass", "test.audit2"}) {
		t.Errorf("described as %+v, %v", services, err)
	}
	if x, err := h.Admin.Explain(t.Context(), admin.ExplainQuery{Service: "Plain", Method: "Mul"}); err != nil || !slices.Equal(x.Around, []string{"test.audit"}) {
		t.Errorf("explained as %+v, %v", x, err)
	}
	h.Post("/Arith/Div", `{"A":6,"B":0}`)
	if got := j.take(); !slices.Contains(got, "own Arith.Div by anonymous: &{A:6 B:0} → &{C:0} UNKNOWN") {
		t.Errorf("%q: the error of the handler is missing", got)
	}
	h.Post("/Plain/Mul", `{"A":6,"B":7}`)
	if got := j.take(); !slices.Equal(got, []string{"all Plain.Mul by anonymous: &{A:6 B:7} → &{C:42} OK"}) {
		t.Errorf("%q", got)
	}
}

// passing adds test.pass, and test.audit under another name.
func passing(reg *registry.Registry, j *journal) *registry.Registry {
	registry.Around("test.pass", struct{}{}, func(context.Context, struct{}, registry.Env) (*registry.Service, error) {
		return registry.Intercept(func(ctx context.Context, _ *registry.Invocation, next registry.Next) error {
			j.add("pass before")
			defer j.add("pass after")
			return next(ctx)
		}), nil
	}, registry.In(reg))
	registry.Around("test.audit2", auditOptions{}, func(_ context.Context, o auditOptions, e registry.Env) (*registry.Service, error) {
		audit, _ := reg.Interceptor("test.audit")
		return audit.Open(context.Background(), func(into any) error { into.(*auditOptions).Word = o.Word; return nil }, e)
	}, registry.In(reg))
	return reg
}

func TestWhatAnInterceptorReturnsIsTheOutcome(t *testing.T) {
	t.Parallel()
	reg, _ := interceptors(t)
	for _, tc := range []struct {
		handler, around string
		status          int
		want            string // in the body
		metric          string
	}{
		{"test.arith", "test.refuse", http.StatusForbidden, "not on a Sunday", `interceptor="test.refuse",outcome="refused",place="services/Arith"`},
		{"test.panicky", "test.answer", http.StatusOK, "42", `interceptor="test.answer",outcome="answered",place="services/Arith"`},
		{"test.arith", "test.panic", http.StatusInternalServerError, "interceptor test.panic panicked", `interceptor="test.panic",outcome="panicked",place="services/Arith"`},
		{"test.panicky", "{name: test.audit, options: {word: x}}", http.StatusInternalServerError, "the handler panicked", `interceptor="test.audit",outcome="passed",place="services/Arith"`},
		{"test.arith", "test.other", http.StatusInternalServerError, `"reason":"bad_reply"`, `interceptor="test.other",outcome="passed",place="services/Arith"`},
	} {
		h := hosttest.Start(t, "services: [{name: Arith, handler: "+tc.handler+", around: ["+tc.around+"]}]", hosttest.Options{Registry: reg})
		res, body := h.Post("/Arith/Mul", `{"A":6,"B":5}`)
		if res.StatusCode != tc.status || !strings.Contains(body, tc.want) {
			t.Errorf("%s: %s %s, want %d %s", tc.around, res.Status, body, tc.status, tc.want)
		}
		if text := scrape(t, h); !strings.Contains(text, "easymicro_interceptor_duration_seconds_count{"+tc.metric+"} 1") {
			t.Errorf("%s: no metric %s", tc.around, tc.metric)
		}
	}
}

func TestChangedOptionsOfAnInterceptorTakeEffectWhileItRuns(t *testing.T) {
	t.Parallel()
	reg, j := interceptors(t)
	h := hosttest.Start(t, "services:\n  - name: Arith\n    handler: test.arith\n    around: [{name: test.audit, options: {word: one}}]\n", hosttest.Options{Registry: reg})
	h.Edit("easymicro.yaml", "word: one", "word: two")
	if r := h.Revision(); r.Result != host.ResultApplied || len(r.Changes) != 1 {
		t.Fatalf("%+v", r)
	}
	h.Post("/Arith/Mul", `{"A":1,"B":2}`)
	h.Edit("easymicro.yaml", "around: [{name: test.audit, options: {word: two}}]", "around: []")
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatalf("%+v", r)
	}
	h.Post("/Arith/Mul", `{"A":3,"B":4}`)
	eventually(t, "no metrics of the removed interceptor", func() bool { return !strings.Contains(scrape(t, h), "easymicro_interceptor_duration") })
	h.Stop()
	want := []string{`open one for "Arith"`, "two Arith.Mul by anonymous: &{A:1 B:2} → &{C:2} OK", "close two"}
	if got := j.take(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestInterceptorsRunAroundCallsToAnUpstream(t *testing.T) {
	t.Parallel()
	reg, j := interceptors(t)
	registry.Plain(&till{add: 1}, registry.As("test.till"), registry.In(reg))
	below := hosttest.Start(t, "services: [{name: Till, handler: test.till}]", hosttest.Options{Registry: reg})
	h := hosttest.Start(t, `
services: [{name: Desk, handler: test.desk, uses: {till: till}}]
upstreams:
  - {name: till, service: Till, resolve: {endpoints: ["tcp://`+below.Address+`"]}, around: [{name: test.audit, options: {word: out}}]}
`, hosttest.Options{Registry: reg})
	j.take()
	if res, body := h.Post("/Desk/Mul", `{"A":6,"B":7}`); res.StatusCode != http.StatusOK || !strings.Contains(body, "43") {
		t.Fatalf("%s %s", res.Status, body)
	}
	if got, want := j.take(), []string{"out tillTill.Mul by anonymous: &{A:6 B:7} → &{C:43} OK"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	h.Edit("easymicro.yaml", "{name: test.audit, options: {word: out}}", "test.refuse")
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatalf("%+v", r)
	}
	if res, body := h.Post("/Desk/Mul", `{"A":6,"B":7}`); res.StatusCode == http.StatusOK {
		t.Errorf("%s: the interceptor refuses the call", body)
	}
}

func TestInterceptorsOfTheManifestAreChecked(t *testing.T) {
	t.Parallel()
	reg, _ := interceptors(t)
	for around, want := range map[string]string{
		"test.audti":                           `3:12: services[0].around[0].name: interceptor "test.audti" is not compiled in; easymicro handlers lists the available ones (did you mean test.audit?)`,
		"test.arith":                           `3:12: services[0].around[0].name: interceptor "test.arith" is not compiled in; easymicro handlers lists the available ones`,
		"{name: test.refuse, options: {a: 1}}": `3:41: services[0].around[0].options: interceptor test.refuse takes no options`,
		"{name: test.audit, options: {word: a, max: 0}}": `3:55: services[0].around[0].options.max: must be an integer at least 1`,
	} {
		m, problems := config.DecodeManifest("m.yaml", []byte("services:\n- {name: Arith, handler: test.arith,\n  around: ["+around+"]}\n"), nil)
		if problems.Err() != nil {
			t.Fatal(problems)
		}
		err := host.Check(&config.Set{Manifest: m}, reg).Err()
		if err == nil || !strings.Contains(err.Error(), "m.yaml:"+want) {
			t.Errorf("%s:\n%v, want\n%s", around, err, want)
		}
	}
}
