package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
)

// tokenOf returns the entry of an operator whose token has that text.
func tokenOf(name, role, text string) config.AdminToken {
	sum := sha256.Sum256([]byte(text))
	return config.AdminToken{Name: name, Role: role, SHA256: hex.EncodeToString(sum[:])}
}

// refusals collects what Options.Refused gets.
type refusals struct {
	mu   sync.Mutex
	list []string
}

func (l *refusals) add(peer, operator string, e *Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, peer+" "+operator+" "+e.Code)
}

func TestAReaderReadsAndAnOperatorDoesAll(t *testing.T) {
	late := tokenOf("late", config.RoleOperate, "late-token")
	late.Expires = time.Now().Add(-time.Minute)
	var refused refusals
	h := &told{}
	addr := local(t, h, Options{Pprof: true, Refused: refused.add, Tokens: []config.AdminToken{
		tokenOf("grafana", config.RoleRead, "read-token"), tokenOf("ann", config.RoleOperate, "old-token"), tokenOf("ann", config.RoleOperate, "new-token"), late,
	}})
	const missing, role = "the admin token is missing or wrong", "this needs the role operate, and the token of grafana has the role read"
	for _, tt := range []struct {
		request, token string
		status         int
		detail         string
	}{
		{"GET /api/v1/status", "read-token", 200, ""},
		{"HEAD /api/v1/status", "read-token", 200, ""},
		{"GET /metrics", "read-token", 200, ""},
		{"GET /api/v1/rules", "old-token", 200, ""},
		{"GET /debug/pprof/cmdline", "new-token", 200, ""},
		{"POST /api/v1/reload", "old-token", 200, ""},
		{"POST /api/v1/reload", "new-token", 200, ""},
		{"POST /api/v1/reload", "read-token", 403, role},
		{"POST /api/v1/diff", "read-token", 403, role},
		{"PUT /api/v1/status", "read-token", 403, role},
		{"GET /debug/pprof/", "read-token", 403, role},
		{"GET /debug/pprof/profile?seconds=1", "read-token", 403, role},
		{"GET /api/v1/status", "", 401, missing},
		{"GET /metrics", "other", 401, missing},
		{"POST /api/v1/reload", "late-token", 401, "the admin token of late expired on " + late.Expires.UTC().Format(time.RFC3339)},
		{"GET /livez", "", 200, ""},
		{"GET /readyz", "other", 200, ""},
	} {
		method, path, _ := strings.Cut(tt.request, " ")
		a := ask(t, method, "http://"+addr+path, bearer("Bearer "+tt.token))
		if a.status != tt.status || !strings.Contains(a.body, tt.detail) {
			t.Errorf("%s with %q: %d %s, want %d %s", tt.request, tt.token, a.status, a.body, tt.status, tt.detail)
		}
		if (a.header.Get("WWW-Authenticate") != "") != (tt.status == http.StatusUnauthorized) {
			t.Errorf("%s with %q: WWW-Authenticate is %q", tt.request, tt.token, a.header.Get("WWW-Authenticate"))
		}
	}
	if h.reload.Who != "ann" {
		t.Errorf("%q reloaded the host, want ann", h.reload.Who)
	}
	slices.Sort(refused.list)
	want := append(slices.Repeat([]string{"127.0.0.1  unauthenticated"}, 3), slices.Repeat([]string{"127.0.0.1 grafana forbidden"}, 5)...)
	if !slices.Equal(refused.list, want) {
		t.Errorf("%q, want %q", refused.list, want)
	}
}

func TestAListWithoutTokensOpensNothing(t *testing.T) {
	addr := local(t, &told{}, Options{Tokens: []config.AdminToken{}})
	ask(t, "GET", "http://"+addr+"/api/v1/status", nil).wants(t, http.StatusUnauthorized, CodeUnauthenticated)
	ask(t, "POST", "http://"+addr+"/api/v1/reload", bearer("Bearer ")).wants(t, http.StatusUnauthorized, CodeUnauthenticated)
}

// The token of tokenFile has no name: its users are told apart by their addresses.
func TestTheTokenOfTheFileOperatesBesideTheList(t *testing.T) {
	h := &told{}
	addr := local(t, h, Options{Token: canary, Tokens: []config.AdminToken{tokenOf("ann", config.RoleOperate, "t")}})
	ask(t, "POST", "http://"+addr+"/api/v1/reload", bearer("Bearer "+canary)).wants(t, 200)
	if h.reload.Who != "127.0.0.1" {
		t.Errorf("%q reloaded the host", h.reload.Who)
	}
}
