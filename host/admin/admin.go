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
	"log/slog"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
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
	Identity                map[string]string // claims of the caller
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
	Token       string              // bearer token of role operate
	Tokens      []config.AdminToken // further tokens; without any token and with nil here, only local requests are accepted
	Logger      *slog.Logger        // of internal errors; nil discards them
	MetricsPath string              // default /metrics
	Pprof       bool                // serve /debug/pprof/

	// Refused is called for each request that may not use the API, with the address of its client and the name of its token, if it
	// has a valid one that is named. It may be nil.
	Refused func(peer, operator string, e *Error)
}

// Handler returns the handler of the admin API. /livez, /readyz and /healthz need no token; all other paths do if one
// is set: of any role for GET and HEAD, of role operate otherwise and for /debug/pprof/. If none is set, they accept only
// requests over loopback and unix sockets.
func Handler(h Host, o Options) http.Handler {
	a := newAPI(h, o)
	c := newAccess(a, o)
	health, guarded := a.healthRoutes(), slices.Concat(a.routes(), overrideRoutes(h), breakerRoutes(h), []route{shadowRoute(h), a.metricsRoute(o.MetricsPath)})
	inner := http.NewServeMux()
	a.mount(inner, guarded)
	inner.Handle("/", a.notFound(append(health, guarded...)))
	if o.Pprof {
		profiles := http.NewServeMux()
		mountPprof(profiles)
		inner.Handle("/debug/pprof/", c.operate(c.sameSite(profiles)))
	}
	outer := http.NewServeMux()
	a.mount(outer, health)
	outer.Handle("/", c.identify(inner))
	return c.protect(a.recovered(outer))
}

// HealthHandler returns the handler of /livez, /readyz, /healthz and the metrics, for probes and scrapers. It needs
// no token.
func HealthHandler(h Host, o Options) http.Handler {
	a := newAPI(h, o)
	routes := append(a.healthRoutes(), a.metricsRoute(o.MetricsPath))
	mux := http.NewServeMux()
	a.mount(mux, routes)
	mux.Handle("/", a.notFound(routes))
	return newAccess(a, o).protect(a.recovered(mux))
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

// maxStreams bounds what one connection may ask for at once over HTTP/2, as the number of connections does over HTTP/1.1.
const maxStreams = 8

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

		DisableGeneralOptionsHandler: true,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:                     slog.NewLogLogger(clipped{log.Handler()}, slog.LevelDebug),
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
