// Package admin is the API for operators of a host: its types, the HTTP handler and the client. All JSON keys are
// snake_case; a missing key means the zero value.
//
// Paths; Client has a method for each, with its parameters and its response:
//
//	GET   /livez /readyz /healthz /metrics
//	GET   /api/v1/status /services /rules /explain /revisions /revisions/N /revisions/N/files /refusals /top /shadow /override
//	      /breakers /diff /config
//	POST  /api/v1/reload /diff /apply /rollback/N /confirm /drain /undrain
//	      /limit /block /override /override/NAME/drop /bypass /breakers/NAME/STATE
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// Host is what a handler needs of a host. An *Error is sent to the client unchanged; any other error is logged and sent
// as an internal error without its text.
type Host interface {
	Status(ctx context.Context) (*Status, error)
	Services(ctx context.Context) ([]Service, error)
	Rules(ctx context.Context) ([]policies.RuleState, error)
	Explain(ctx context.Context, q ExplainQuery) (*Explanation, error)
	// ExplainRule returns a rule as it was in a revision; revision 0 is the one in force.
	ExplainRule(ctx context.Context, name string, revision int) (*RuleExplanation, error)
	Revisions(ctx context.Context) ([]Attempt, error) // the newest first
	Revision(ctx context.Context, number int) (*Attempt, error)
	RevisionFiles(ctx context.Context, number int) ([]FileText, error) // the manifest first
	Refusals(ctx context.Context, q RefusalQuery) ([]Refusal, error)   // the newest first
	Top(ctx context.Context, q TopQuery) (*Top, error)
	Shadow(ctx context.Context) (*Shadow, error)
	Reload(ctx context.Context, r ReloadRequest) (*Attempt, error)
	// Diff returns how the files differ from what runs. If they have problems, the error is CodeRejected.
	Diff(ctx context.Context) (*Difference, error)
	// Config returns the manifest and the rules in force, with their defaults and without secrets.
	Config(ctx context.Context) (*Configuration, error)
	// Drain takes the host out of service until Undrain: not ready and withdrawn from discovery, but serving. Either may be called
	// again. Who is the address or the name of the client.
	Drain(ctx context.Context, who string) (*DrainState, error)
	Undrain(ctx context.Context, who string) (*DrainState, error)
	// Plan returns what Apply would change.
	Plan(ctx context.Context, r ApplyRequest) (*Difference, error)
	// Apply, Rollback and Confirm change what runs without a change of files. If something else runs than r.IfMatch, the error
	// is CodeStale. Unless r.Force is set, an edit that would refuse too many of the last calls is CodeForecast.
	Apply(ctx context.Context, r ApplyRequest) (*Attempt, error)
	Rollback(ctx context.Context, r RollbackRequest) (*Attempt, error)
	Confirm(ctx context.Context, who string) (*Attempt, error)
	// Override puts a rule, a value or a bypass in force, or keeps breakers open or closed, until its end; Overrides returns those in force.
	Override(ctx context.Context, r OverrideRequest) (*OverrideResult, error)
	DropOverride(ctx context.Context, name, who string) (*OverrideResult, error)
	Overrides(ctx context.Context) ([]Override, error)
	// Breakers returns the breakers that a name selects, or all of them; ResetBreaker closes them and has them forget what they
	// have counted.
	Breakers(ctx context.Context, name string) ([]Breaker, error)
	ResetBreaker(ctx context.Context, name, who, why string) ([]Breaker, error)
	// Checks returns the conditions of readiness; the host is ready when all are OK.
	Checks(ctx context.Context) []Check
	Metrics() http.Handler
}

// ExplainQuery is a call to explain: of a service or, if Upstream is set, to an upstream. An empty Caller is
// "anonymous"; the zero Peer is unknown.
type ExplainQuery struct {
	Service, Method, Caller string
	Upstream                string
	Peer                    netip.Addr
}

// RefusalQuery filters refusals; zero fields match all.
type RefusalQuery struct {
	Caller string
	Since  time.Time
}

// ReloadRequest is a request to reload. Who is the address or the name of the client; Force applies unchanged files too.
type ReloadRequest struct {
	Who   string
	Force bool
}

// Options configure Handler and HealthHandler.
type Options struct {
	Token       string       // bearer token of the operators; without one, only local requests are accepted
	Logger      *slog.Logger // of internal errors; nil discards them
	MetricsPath string       // default /metrics
	Pprof       bool         // serve /debug/pprof/
}

// Handler returns the handler of the admin API. /livez, /readyz and /healthz need no token; all other paths do if one
// is set. If none is set, they accept only requests over loopback and unix sockets.
func Handler(h Host, o Options) http.Handler {
	a := &api{host: h, log: o.Logger}
	health, guarded := a.healthRoutes(), slices.Concat(a.routes(), overrideRoutes(h), breakerRoutes(h), []route{shadowRoute(h), a.metricsRoute(o.MetricsPath)})
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

// HealthHandler returns the handler of /livez, /readyz, /healthz and the metrics, for probes and scrapers. It needs
// no token.
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

// metricsPath returns path, or the default if path is invalid or belongs to another route.
func metricsPath(path string) string {
	fixed := path == "/livez" || path == "/readyz" || path == "/healthz"
	if fixed || !strings.HasPrefix(path, "/") || path == "/" || strings.ContainsAny(path, "{} ") ||
		strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/debug/") {
		return "/metrics"
	}
	return path
}

// protect sets headers that keep browsers from interpreting responses. It refuses cross-site changes and, on loopback,
// Host headers that do not name this machine.
func protect(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, Errorf(CodeForbidden, "cross-site requests are not allowed"))
	}))
	next = cross.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		if onLoopback(r) && !NamesThisMachine(r.Host) {
			// DNS rebinding: a name that resolves to 127.0.0.1 makes a browser send requests of a foreign page here.
			refuse(w, r, Errorf(CodeForbidden, "the Host header does not name this machine").
				WithHelp("use localhost or the IP address"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, r *http.Request, e *Error) { (&api{}).fail(w, r, e) }

// requireToken refuses requests without the token or, if none is set, from other machines.
func requireToken(token string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case token != "" && !carries(r, want):
			w.Header().Set("WWW-Authenticate", `Bearer realm="easymicro admin"`)
			refuse(w, r, Errorf(CodeUnauthenticated, "the admin token is missing or wrong").
				WithHelp("send Authorization: Bearer with the content of admin.tokenFile"))
		case token == "" && !onLoopback(r) && !onUnix(r):
			refuse(w, r, Errorf(CodeForbidden, "without a token the admin API accepts only local requests").
				WithHelp("set admin.tokenFile"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// carries reports whether a request has the token. It compares hashes, in constant time.
func carries(r *http.Request, want [sha256.Size]byte) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(token)))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}

func localAddr(r *http.Request) net.Addr {
	a, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return a
}

func onLoopback(r *http.Request) bool {
	tcp, ok := localAddr(r).(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

func onUnix(r *http.Request) bool {
	_, ok := localAddr(r).(*net.UnixAddr)
	return ok
}

// NamesThisMachine reports whether a Host header names this machine or one of others. Any IP address counts, since DNS
// rebinding needs a name, and so does an empty header, which browsers never send. Case, a port and a trailing dot are
// ignored.
func NamesThisMachine(hostport string, others ...string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return slices.ContainsFunc(others, func(name string) bool { return strings.EqualFold(strings.TrimSuffix(name, "."), host) })
}

// NewServer returns an HTTP server with the limits of an admin or health listener. Errors of clients are logged at
// debug level; a nil log discards them.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      90 * time.Second, // also bounds a profile and a reload
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(clipped{log.Handler()}, slog.LevelDebug),
	}
}

// clipped shortens lines about TLS handshakes, which quote what the peer has sent.
type clipped struct{ slog.Handler }

const maxHandshakeError = 300

func (c clipped) Handle(ctx context.Context, r slog.Record) error {
	if strings.HasPrefix(r.Message, "http: TLS handshake error ") {
		r.Message = code.Clip(r.Message, maxHandshakeError)
	}
	return c.Handler.Handle(ctx, r) //nolint:wrapcheck // it is not ours
}
