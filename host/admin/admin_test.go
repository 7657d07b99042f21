package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// net/http lets a client that sent rubbish read its answer for half a second, and no one may wait for that.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// told is a fake host: it returns what the test set, and records what it was asked.
type told struct {
	apply     ApplyRequest
	rollback  RollbackRequest
	confirmed string
	status    Status
	checks    []Check
	err       error

	explained ExplainQuery
	rule      string
	revision  int
	refusals  RefusalQuery
	top       TopQuery
	override  OverrideRequest
	reload    ReloadRequest
}

func (h *told) Status(context.Context) (*Status, error)     { return &h.status, h.err }
func (h *told) Services(context.Context) ([]Service, error) { return nil, h.err }
func (h *told) Rules(context.Context) ([]policies.RuleState, error) {
	return []policies.RuleState{{Name: "arith-mul"}}, h.err
}

func (h *told) Revisions(context.Context) ([]Attempt, error) {
	return []Attempt{{Number: 2}, {Number: 1}}, h.err
}

func (h *told) RevisionFiles(_ context.Context, n int) ([]FileText, error) {
	return []FileText{{File: config.File{Path: "easymicro.yaml"}, Text: fmt.Sprint("text of r", n)}}, h.err
}
func (h *told) Checks(context.Context) []Check { return h.checks }

func (h *told) Explain(_ context.Context, q ExplainQuery) (*Explanation, error) {
	h.explained = q
	return &Explanation{Explanation: policies.Explanation{Service: q.Service, Method: q.Method, Caller: q.Caller}}, h.err
}

func (h *told) ExplainRule(_ context.Context, name string, n int) (*RuleExplanation, error) {
	h.rule, h.revision = name, n
	return &RuleExplanation{Revision: n, Rule: policies.RuleState{Name: name}}, h.err
}

func (h *told) Revision(_ context.Context, n int) (*Attempt, error) {
	if n > 2 {
		return nil, Errorf(CodeNotFound, "there is no revision %d", n).WithHelp("easymicro history lists them")
	}
	return &Attempt{Number: n}, h.err
}

func (h *told) Refusals(_ context.Context, q RefusalQuery) ([]Refusal, error) {
	h.refusals = q
	return []Refusal{{Caller: q.Caller, Rule: "arith-mul@r2"}}, h.err
}

func (h *told) Top(_ context.Context, q TopQuery) (*Top, error) {
	h.top = q
	return &Top{By: q.By, Rows: []TopRow{{Caller: "web", Calls: 7}}}, h.err
}

func (h *told) Override(_ context.Context, q OverrideRequest) (*OverrideResult, error) {
	h.override = q
	return &OverrideResult{Override: Override{Name: "limit.web"}}, h.err
}

func (h *told) DropOverride(_ context.Context, name, _ string) (*OverrideResult, error) {
	return &OverrideResult{Override: Override{Name: name}}, h.err
}

func (h *told) Overrides(context.Context) ([]Override, error) {
	return []Override{{Name: "limit.web"}}, h.err
}

func (h *told) Breakers(_ context.Context, name string) ([]Breaker, error) {
	return []Breaker{{Name: name}}, h.err
}

func (h *told) ResetBreaker(_ context.Context, name, _, _ string) ([]Breaker, error) {
	return []Breaker{{Name: name}}, h.err
}

func (h *told) Shadow(context.Context) (*Shadow, error) {
	return &Shadow{Rules: []ShadowRule{{Rule: "trial"}}}, h.err
}

func (h *told) Reload(_ context.Context, r ReloadRequest) (*Attempt, error) {
	h.reload = r
	return &Attempt{Number: 3, Result: "applied"}, h.err
}

func (h *told) Diff(context.Context) (*Difference, error) {
	return &Difference{Revision: 3, Changes: Changes{{Subject: "r", Op: config.OpAdd, Effect: config.Tighter}}}, h.err
}

func (h *told) Config(context.Context) (*Configuration, error) {
	return &Configuration{Revision: 3, Effective: config.Effective{YAML: "version: 1\n", Values: map[string]config.EffectiveValue{}}}, h.err
}

func (h *told) Drain(_ context.Context, who string) (*DrainState, error) {
	return &DrainState{Drained: &Drained{Who: who}, Changed: true}, h.err
}

func (h *told) Undrain(context.Context, string) (*DrainState, error) { return &DrainState{}, h.err }

func (h *told) Plan(_ context.Context, q ApplyRequest) (*Difference, error) {
	h.apply = q
	return &Difference{Revision: 1}, h.err
}

func (h *told) Apply(_ context.Context, q ApplyRequest) (*Attempt, error) {
	if q.Unreadable != nil {
		return nil, q.Unreadable
	}
	h.apply = q
	return &Attempt{Number: 2}, h.err
}

func (h *told) Rollback(_ context.Context, q RollbackRequest) (*Attempt, error) {
	h.rollback = q
	return &Attempt{Number: 2}, h.err
}

func (h *told) Confirm(_ context.Context, who string) (*Attempt, error) {
	h.confirmed = who
	return &Attempt{Number: 2}, h.err
}

func (h *told) Metrics() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "some_metric 1\n") })
}

// serve runs a handler on a real listener and gives its address.
func serve(t *testing.T, network, address string, h http.Handler) string {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, ln, NewServer(h, nil))
}

func serveOn(t *testing.T, ln net.Listener, srv *http.Server) string {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func local(t *testing.T, h Host, o Options) string {
	t.Helper()
	return serve(t, "tcp", "127.0.0.1:0", Handler(h, o))
}

// answer is what came back for one request.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request on a connection of its own. edit may be nil.
func ask(t *testing.T, method, url string, edit func(*http.Request)) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(req)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

func (a answer) wants(t *testing.T, status int, parts ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("status %d, want %d: %s", a.status, status, a.body)
	}
	for _, p := range parts {
		if !strings.Contains(a.body, p) {
			t.Errorf("no %q in %s", p, a.body)
		}
	}
}
