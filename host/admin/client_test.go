package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/google/go-cmp/cmp"
)

func TestTheClientReadsWhatTheHandlerWrites(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	h := &told{
		status: Status{
			Host: "orders-1", StartedAt: at, Ready: true,
			Policies: Policies{
				Running:     Running{Revision: 42, Hash: "h", AppliedAt: at, Source: "file"},
				LastAttempt: LastAttempt{At: at, Result: "rejected", Problems: config.Problems{{File: "p.yaml", Line: 6, Column: 21, Message: "m"}}},
			},
			Checks: []Check{{Name: "rules", OK: true}}, PendingRestart: []Pending{{Field: "host.name"}}, NotAccepting: []AcceptTrouble{},
			Listeners: []Listener{{Name: "main", Protocols: []string{"rpcx"}}}, Services: []ServiceStatus{{Name: "Arith", Methods: []MethodStatus{{Name: "Mul", LastMinute: Traffic{Calls: 3, P50: Seconds(time.Millisecond)}}}}},
			Breakers: []policies.BreakerStats{{Rule: "r", Since: at}}, Limiters: []policies.LimiterStats{{Rule: "r", Tokens: 0.3}}, Expiring: []Expiry{{Rule: "r", At: at}}, Warnings: config.Problems{},
			Upstreams: []Upstream{{Name: "till", Service: "Till", Called: true, Endpoints: []Endpoint{{Address: "10.0.0.5:8972", State: "stale", LatencySeconds: 0.002}}, Methods: []MethodStatus{}}},
			Discovery: []Discovery{{Name: "main", Connected: true, Since: at, RegisteredSince: at, Instances: []Instance{{Service: "Arith"}}, Services: []Discovered{}}},
		},
		checks: []Check{{Name: "listeners"}},
	}
	socket := filepath.Join(shortDir(t), "admin.sock")
	serve(t, "unix", socket, Handler(h, Options{}))
	tcp := local(t, h, Options{Token: canary})
	for _, c := range []*Client{
		{Address: tcp, Token: canary},
		{Address: "tcp://" + tcp, Token: canary},
		{Address: "http://" + tcp + "/", Token: canary},
		{Address: strings.Replace(tcp, "127.0.0.1", "", 1), Token: canary},
		{Address: strings.Replace(tcp, "127.0.0.1", "0.0.0.0", 1), Token: canary},
		{Address: "unix://" + socket},
	} {
		t.Run(c.Address, func(t *testing.T) { asks(t, c, h, at) })
	}
}

// shortDir is a folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "em") //nolint:usetesting // t.TempDir has the name of the test in it, too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func asks(t *testing.T, c *Client, h *told, at time.Time) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	status, err := c.Status(ctx)
	must(err)
	if d := cmp.Diff(&h.status, status); d != "" {
		t.Errorf("status: %s", d)
	}
	services, err := c.Services(ctx)
	must(err)
	rules, err := c.Rules(ctx)
	must(err)
	if len(services) != 0 || len(rules) != 1 || rules[0].Name != "arith-mul" {
		t.Errorf("%v %v", services, rules)
	}
	q := ExplainQuery{Service: "Arith", Method: "Mul", Caller: "a b&c", Peer: netip.MustParseAddr("10.0.0.1"), Identity: map[string]string{"tenant": "a=b&c d", "plan": "gold"}}
	_, err = c.Explain(ctx, q)
	must(err)
	_, err = c.ExplainRule(ctx, "arith-mul", 7)
	must(err)
	if !reflect.DeepEqual(h.explained, q) || h.rule != "arith-mul" || h.revision != 7 {
		t.Errorf("asked %+v, %s, %d", h.explained, h.rule, h.revision)
	}
	revisions, err := c.Revisions(ctx)
	must(err)
	revision, err := c.Revision(ctx, 2)
	must(err)
	if len(revisions) != 2 || revision.Number != 2 {
		t.Errorf("%v %v", revisions, revision)
	}
	refusals, err := c.Refusals(ctx, RefusalQuery{Caller: "web-1", Since: at})
	must(err)
	if len(refusals) != 1 || h.refusals.Caller != "web-1" || !h.refusals.Since.Equal(at) {
		t.Errorf("%v %+v", refusals, h.refusals)
	}
	reloaded, err := c.Reload(ctx, true)
	must(err)
	if reloaded.Number != 3 || !h.reload.Force || h.reload.Who == "" {
		t.Errorf("%v %+v", reloaded, h.reload)
	}
	running, err := c.Config(ctx)
	must(err)
	if running.Revision != 3 || running.YAML != "version: 1\n" {
		t.Errorf("%+v", running)
	}
	drained, err := c.Drain(ctx)
	must(err)
	undrained, err := c.Undrain(ctx)
	must(err)
	if !drained.Changed || drained.Drained.Who == "" || undrained.Changed || undrained.Drained != nil {
		t.Errorf("%+v %+v", drained, undrained)
	}
	ready, err := c.Ready(ctx)
	must(err)
	if ready.Ready || len(ready.Checks) != 1 {
		t.Errorf("%+v", ready)
	}
}

func TestAnErrorOfTheHostIsNotAnUnreachableHost(t *testing.T) {
	addr := local(t, &told{}, Options{Token: canary})
	for _, c := range []struct {
		client *Client
		code   string
	}{
		{&Client{Address: addr, Token: canary}, CodeNotFound},
		{&Client{Address: addr, Token: "wrong"}, CodeUnauthenticated},
	} {
		_, err := c.client.Revision(t.Context(), 9)
		var e *Error
		var u *UnreachableError
		if !errors.As(err, &e) || errors.As(err, &u) || e.Code != c.code || e.Help == "" {
			t.Errorf("%#v", err)
		}
	}
}

func TestAnotherServerAtTheAddressIsRecognized(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"page":      func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>hello") },
		"not found": http.NotFound,
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"broken": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{")
		},
		"no problem": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusInternalServerError)
		},
	} {
		addr := serve(t, "tcp", "127.0.0.1:0", h)
		_, err := (&Client{Address: addr}).Status(t.Context())
		var e *Error
		if !errors.As(err, &e) || e.Code != CodeUnexpected || !strings.Contains(e.Error(), addr) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAHostThatDoesNotAnswerIsUnreachable(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // its backlog takes connections that nobody serves
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	cut := serve(t, "tcp", "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, "{")
		panic(http.ErrAbortHandler)
	}))
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, c := range map[string]*Client{
		"refused": {Address: closed.Addr().String(), Token: canary}, "silent": {Address: silent.Addr().String(), Timeout: 50 * time.Millisecond},
		"cut": {Address: cut}, "no port": {Address: "localhost"}, "scheme": {Address: "ftp://x:1"},
		"socket": {Address: "unix://" + filepath.Join(t.TempDir(), "none")},
	} {
		_, err := c.Status(t.Context())
		var u *UnreachableError
		if !errors.As(err, &u) || !strings.Contains(err.Error(), "cannot reach the host's admin listener at ") {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error holds the token", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (&Client{Address: silent.Addr().String()}).Status(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestMethodsOfOlderHostsAreNamesAlone(t *testing.T) {
	var s ServiceStatus
	if err := json.Unmarshal([]byte(`{"methods":["Mul","Div"]}`), &s); err != nil || len(s.Methods) != 2 || s.Methods[1].Name != "Div" {
		t.Errorf("%+v, %v", s, err)
	}
}
