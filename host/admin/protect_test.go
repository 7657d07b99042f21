package admin

import (
	"net"
	"net/http"
	"strings"
	"testing"
)

const canary = "canary-token-9b1d"

func bearer(value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", value) }
}

var behindTheToken = []string{
	"GET /metrics", "GET /api/v1/status", "GET /api/v1/services", "GET /api/v1/rules", "GET /api/v1/explain?rule=r",
	"GET /api/v1/revisions", "GET /api/v1/refusals", "POST /api/v1/reload", "GET /debug/pprof/", "GET /no/such/path",
}

func TestAllButHealthNeedsTheToken(t *testing.T) {
	addr := local(t, &told{}, Options{Token: canary, Pprof: true})
	for _, request := range behindTheToken {
		method, path, _ := strings.Cut(request, " ")
		for _, value := range []string{"", "Bearer", "Bearer ", "Bearer wrong", "Basic " + canary, canary, "Bearer " + canary + "x", "Bearer  "} {
			a := ask(t, method, "http://"+addr+path, bearer(value))
			a.wants(t, http.StatusUnauthorized, CodeUnauthenticated, "admin.tokenFile")
			if a.header.Get("WWW-Authenticate") == "" || strings.Contains(a.body, canary) {
				t.Errorf("%s with %q: %v %s", request, value, a.header, a.body)
			}
		}
		if a := ask(t, method, "http://"+addr+path, bearer("bearer "+canary)); a.status == http.StatusUnauthorized {
			t.Errorf("%s: the right token is refused", request)
		}
	}
	for _, path := range []string{"/livez", "/readyz", "/healthz"} {
		ask(t, "GET", "http://"+addr+path, nil).wants(t, 200)
	}
}

func TestTheCanaryTokenIsInNoAnswer(t *testing.T) {
	addr := local(t, &told{}, Options{Token: canary})
	for _, request := range append(behindTheToken, "GET /livez", "GET /readyz?verbose", "PUT /metrics", "GET /api/v1/status?a=b") {
		method, path, _ := strings.Cut(request, " ")
		a := ask(t, method, "http://"+addr+path, bearer("Bearer "+canary))
		if strings.Contains(a.body, canary) {
			t.Errorf("%s: %s", request, a.body)
		}
		for name, values := range a.header {
			if strings.Contains(strings.Join(values, " "), canary) {
				t.Errorf("%s: header %s", request, name)
			}
		}
	}
}

func TestNamesThatDNSMayRebindAreRefusedOnLoopback(t *testing.T) {
	handlers := map[string]http.Handler{
		"admin": Handler(&told{}, Options{}), "health": HealthHandler(&told{}, Options{}),
	}
	for name, h := range handlers {
		addr := serve(t, "tcp", "127.0.0.1:0", h)
		_, port, _ := net.SplitHostPort(addr)
		for host, status := range map[string]int{
			"127.0.0.1:" + port: 200, "localhost:" + port: 200, "LOCALHOST": 200, "localhost.": 200, "[::1]:1": 200, "em.localhost:1": 200,
			"evil.example:" + port: 403, "evil.example": 403, "127.0.0.1.evil.example": 403, "localhost.evil.example": 403, "notlocalhost": 403,
		} {
			for _, path := range []string{"/metrics", "/livez"} {
				a := ask(t, "GET", "http://"+addr+path, func(r *http.Request) { r.Host = host })
				if a.status != status {
					t.Errorf("%s: Host %q for %s: %d, want %d", name, host, path, a.status, status)
				}
			}
		}
	}
}

func TestPagesOfOtherSitesChangeNothing(t *testing.T) {
	h := &told{}
	addr := local(t, h, Options{})
	for _, headers := range []map[string]string{
		{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.example"}, {"Origin": "null"},
	} {
		ask(t, "POST", "http://"+addr+"/api/v1/reload?force", func(r *http.Request) {
			for k, v := range headers {
				r.Header.Set(k, v)
			}
		}).wants(t, http.StatusForbidden, CodeForbidden)
		if h.reload.Force {
			t.Fatalf("%v reloaded the host", headers)
		}
	}
	ask(t, "POST", "http://"+addr+"/api/v1/reload?force", func(r *http.Request) {
		r.Header.Set("Origin", "http://"+addr)
	}).wants(t, 200)
	if !h.reload.Force {
		t.Error("a page of the host itself could not reload it")
	}
}

// elsewhere is an address of this machine that is not loopback.
func elsewhere(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has loopback only")
	return ""
}

func TestWithoutATokenOtherMachinesGetHealthOnly(t *testing.T) {
	ip := elsewhere(t)
	open := serve(t, "tcp", net.JoinHostPort(ip, "0"), Handler(&told{}, Options{}))
	for _, request := range behindTheToken {
		method, path, _ := strings.Cut(request, " ")
		ask(t, method, "http://"+open+path, nil).wants(t, http.StatusForbidden, "set admin.tokens or admin.tokenFile")
	}
	named := func(r *http.Request) { r.Host = "orders-1.internal" }
	ask(t, "GET", "http://"+open+"/livez", named).wants(t, 200)
	health := serve(t, "tcp", net.JoinHostPort(ip, "0"), HealthHandler(&told{}, Options{}))
	ask(t, "GET", "http://"+health+"/metrics", named).wants(t, 200)
	ask(t, "GET", "http://"+health+"/api/v1/status", named).wants(t, 404)
	guarded := serve(t, "tcp", net.JoinHostPort(ip, "0"), Handler(&told{}, Options{Token: canary}))
	ask(t, "GET", "http://"+guarded+"/api/v1/status", bearer("Bearer "+canary)).wants(t, 200)
}

func TestEveryAnswerTellsBrowsersToKeepOut(t *testing.T) {
	addr := local(t, &told{}, Options{Token: canary})
	for _, path := range []string{"/livez", "/api/v1/status", "/nothing"} {
		a := ask(t, "GET", "http://"+addr+path, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") })
		for k, v := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
		} {
			if a.header.Get(k) != v {
				t.Errorf("%s: %s: %q", path, k, a.header.Get(k))
			}
		}
		if a.header.Get("Access-Control-Allow-Origin") != "" || !strings.Contains(a.header.Get("Content-Security-Policy"), "'none'") {
			t.Errorf("%s: %v", path, a.header)
		}
	}
}
