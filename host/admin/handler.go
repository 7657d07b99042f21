package admin

import (
	"log/slog"
	"net/http"
	"net/http/pprof"
)

// Options is what Handler is told.
type Options struct {
	// Token is asked at each request for the bearer token in force, so that the file may change. required says that
	// one was configured: a required token that is empty lets nobody in. Nil means that none is needed.
	Token       func() (token string, required bool)
	Logger      *slog.Logger // what went wrong inside; nil is silent
	MetricsPath string       // default /metrics
	Pprof       bool         // whether /debug/pprof/ is there
}

// Handler answers the admin API. /livez, /readyz and /healthz need no token; all else does when there is one. Without
// one it answers only on loopback addresses and unix sockets.
func Handler(h Host, o Options) http.Handler {
	a := &api{host: h, log: o.Logger}
	guarded := a.mux(append(a.routes(), a.metricsRoute(o.MetricsPath)))
	if o.Pprof {
		mountPprof(guarded)
	}
	all := a.mux(a.healthRoutes())
	all.Handle("/", requireToken(o.Token, guarded))
	return protect(a.recovered(all))
}

// HealthHandler answers /livez, /readyz, /healthz and the metrics, and needs no token: for kubelets and scrapers.
func HealthHandler(h Host, o Options) http.Handler {
	a := &api{host: h, log: o.Logger}
	return protect(a.recovered(a.mux(append(a.healthRoutes(), a.metricsRoute(o.MetricsPath)))))
}

func mountPprof(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}
