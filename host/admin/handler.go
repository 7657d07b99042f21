package admin

import (
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strings"
)

// Options is what Handler is told.
type Options struct {
	Token       string       // the bearer token of the operators; empty: none is needed, on this machine
	Logger      *slog.Logger // what went wrong inside; nil is silent
	MetricsPath string       // default /metrics
	Pprof       bool         // whether /debug/pprof/ is there
}

// Handler answers the admin API. /livez, /readyz and /healthz need no token; all else does when there is one. Without
// one it answers only on loopback addresses and unix sockets.
func Handler(h Host, o Options) http.Handler {
	a := &api{host: h, log: o.Logger}
	health, guarded := a.healthRoutes(), append(a.routes(), a.metricsRoute(o.MetricsPath))
	inner := http.NewServeMux()
	a.mount(inner, guarded)
	inner.Handle("/", a.notFound(append(health, guarded...)))
	if o.Pprof {
		mountPprof(inner)
	}
	outer := http.NewServeMux()
	a.mount(outer, health)
	outer.Handle("/", requireToken(o.Token, inner))
	return protect(a.recovered(outer))
}

// HealthHandler answers /livez, /readyz, /healthz and the metrics, and needs no token: for kubelets and scrapers.
func HealthHandler(h Host, o Options) http.Handler {
	a := &api{host: h, log: o.Logger}
	routes := append(a.healthRoutes(), a.metricsRoute(o.MetricsPath))
	mux := http.NewServeMux()
	a.mount(mux, routes)
	mux.Handle("/", a.notFound(routes))
	return protect(a.recovered(mux))
}

func mountPprof(mux *http.ServeMux) {
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
}

// metricsPath is the path asked for, or the default when it would collide with another or is no path.
func metricsPath(path string) string {
	fixed := path == "/livez" || path == "/readyz" || path == "/healthz"
	if fixed || !strings.HasPrefix(path, "/") || path == "/" || strings.ContainsAny(path, "{} ") ||
		strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/debug/") {
		return "/metrics"
	}
	return path
}
