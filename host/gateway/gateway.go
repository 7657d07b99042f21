// Package gateway lets HTTP callers reach methods.
package gateway

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// Options say what a gateway serves. Only Handler is required.
type Options struct {
	// Handler runs the calls. It gets the names as the caller spelled them (exact ones from Routes and Get), the codec
	// that the request named and a payload that is no longer compressed. It should use the HTTP forms of the JSON codec
	// for calls whose transport is "http". A traceparent that it puts into the request's metadata before it does anything
	// else is that of the call: problems name its trace.
	Handler wire.Handler
	// Resolve finds what a name stands for, as the Handler does it: exactly, then by a unique match without regard to
	// case. Its Target has the main names, whatever alias was asked for: Routes and Get are compared by them. Both need it.
	Resolve func(service, method string) (Target, bool)
	// Remote tells whether a service is one of other hosts, which may come and go: Resolve finds it while it is there. Routes
	// and Get name methods of such services exactly as they are called. Their argument is not known, so that what a query
	// or a path gives becomes texts. The Handler returns from their calls as soon as the context ends: no goroutine is
	// made for them. May be nil.
	Remote func(service string) bool
	// Unknown is the Handler's answer to names that Resolve does not find. The gateway gives it where it asks no Handler,
	// as for GET. Nil says that there is no such method.
	Unknown func(service, method string) *code.Error
	// Nearest finds the known word that was probably meant; "" for none. May be nil.
	Nearest func(word string, known []string) string

	// Metadata are the HTTP headers that become metadata of a call, by the name that they have there. A name in a Meta header
	// that differs from one of these by case alone is that one; a header and a Meta header that give it different values are
	// refused, since a proxy in front may have set the one and not have seen the other.
	Metadata map[string]string

	Routes         []Route        // besides POST /{service}/{method}
	Get            []string       // methods that may be called by GET, as "Arith.Mul"
	AllowOrigins   []string       // browser origins that may call, as "https://app.example"; "*" is all of them
	ExposeInternal bool           // show callers what a handler panicked with
	RejectUnknown  bool           // refuse query parameters that the argument does not have, rather than overlook them
	TrustedProxies []netip.Prefix // whose X-Forwarded-For tells the peer
	TrustUnix      bool           // take X-Forwarded-For from whoever connects to a unix socket
	Limits         wire.Limits    // zero fields mean the defaults
	// AnswersTo reports whether a Host header names this machine. It is asked where only this machine can connect, and not
	// of trusted proxies: a name that an attacker's DNS turned to 127.0.0.1 makes browsers send a page's requests here. Nil
	// takes all.
	AnswersTo func(host string) bool
	Host      string // the name that refusals carry

	Logger *slog.Logger // for panics that reach the gateway; nil discards them
	// Refused is told of each request that never became a call, with the names that it asked for, if any. Callers are told
	// the Public text of e; its Message may say more. May be nil.
	Refused func(service, method string, e *code.Error)
}

// Route gives a method a path of its own.
type Route struct {
	// Path is a pattern of net/http without method and host. A wildcard such as {id} is a member of the argument. It
	// may not be the built-in path of another method; a pattern with wildcards that matches built-in paths too, such as
	// /Arith/{a}, comes before them.
	Path    string
	Methods []string // default POST; GET needs the method in Options.Get
	Service string
	Method  string
}

// Target is a method under its exact names.
type Target struct {
	Service string
	Method  string
	Args    reflect.Type // of the argument, pointer or not; nil when it is not known
}

// Gateway serves calls over HTTP. It is immutable and cheap to make: a host makes one for each generation. It is safe
// for concurrent use.
type Gateway struct {
	handler        wire.Handler
	resolve        func(service, method string) (Target, bool)
	remote         func(service string) bool
	unknown        func(service, method string) *code.Error
	nearest        func(word string, known []string) string
	limits         wire.Limits
	proxies        []netip.Prefix
	trustUnix      bool
	host           string
	exposeInternal bool
	rejectUnknown  bool
	answers        func(host string) bool
	logger         *slog.Logger
	refused        func(service, method string, e *code.Error)

	routes   *http.ServeMux // nil without configured routes
	patterns []registered   // of routes
	get      map[names]*binder
	mapped   []mapped // headers to metadata, sorted by name
	origins  *origins
	running  sync.WaitGroup
}

type names struct{ service, method string }

func (n names) String() string { return n.service + "." + n.method }

// New checks the options and makes a gateway of them. Its errors are Problems.
func New(o Options) (*Gateway, error) {
	g := &Gateway{
		handler: o.Handler, resolve: o.Resolve, remote: o.Remote, unknown: o.Unknown, nearest: o.Nearest,
		limits: o.Limits.WithDefaults(), proxies: o.TrustedProxies, trustUnix: o.TrustUnix, host: o.Host,
		answers: o.AnswersTo, exposeInternal: o.ExposeInternal, rejectUnknown: o.RejectUnknown, logger: o.Logger, refused: o.Refused,
	}
	if g.resolve == nil {
		g.resolve = func(string, string) (Target, bool) { return Target{}, false }
	}
	if g.remote == nil {
		g.remote = func(string) bool { return false }
	}
	if g.unknown == nil {
		g.unknown = func(service, method string) *code.Error {
			what := fmt.Sprintf("no method %q", code.Clip(service+"."+method, 200))
			return code.Refuse(code.Unimplemented, code.ReasonUnknownMethod, what, "", g.host, 0)
		}
	}
	if g.nearest == nil {
		g.nearest = func(string, []string) string { return "" }
	}
	if g.logger == nil {
		g.logger = slog.New(slog.DiscardHandler)
	}
	var problems Problems
	g.mapped, problems = newMapped(o.Metadata)
	g.origins = newOrigins(o.AllowOrigins, &problems)
	g.addGet(o.Get, &problems)
	g.addRoutes(o.Routes, &problems)
	if len(problems) > 0 {
		return nil, problems
	}
	return g, nil
}

// Wait returns when no call is running any more. Calls can outlive their HTTP request: one-way calls, and calls that
// were answered at their deadline. Use it after the HTTP server was shut down.
func (g *Gateway) Wait() { g.running.Wait() }

// ServeHTTP serves one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(g, w, r)
	if r.ContentLength != 0 {
		x.readBy(time.Now().Add(g.limits.BodyTimeout))
	}
	if endsAfter(r) {
		w.Header().Set("Connection", "close")
	}
	if e := x.serve(); e != nil {
		if g.refused != nil && !x.called {
			g.refused(x.service, x.method, e)
		}
		x.fail(e)
	}
	x.release()
}

// serve answers the request, or tells why not.
func (x *exchange) serve() *code.Error {
	if !x.g.answersTo(x.r) {
		return x.misdirected()
	}
	if !x.g.origins.admit(x.w, x.r) {
		return x.foreign()
	}
	if x.r.Method == http.MethodOptions {
		return x.options()
	}
	if e := x.readDeadline(); e != nil {
		return e
	}
	bind, e := x.route()
	if e != nil {
		return e
	}
	if e := x.readFamily(); e != nil {
		return e
	}
	if x.family != nil && x.family.flag(x.r.Header, famHeartbeat) {
		x.echoFamily()
		x.succeedEmpty(http.StatusOK)
		return nil
	}
	if lack := x.holding.enter(x.g.limits.MaxInFlight); lack != lackNothing {
		return x.noPlace(lack)
	}
	if e := x.readCodec(); e != nil {
		return e
	}
	if e := x.readMetadata(); e != nil {
		return e
	}
	if e := x.readArgument(bind); e != nil {
		return e
	}
	return x.call()
}

// placeRetryAfter is when a place among the calls of a connection may be free.
const placeRetryAfter = 100 * time.Millisecond

func (x *exchange) refuse(c code.Code, reason, what string) *code.Error {
	return code.Refuse(c, reason, what, "", x.g.host, 0)
}

// overloaded refuses a request for the host's budget.
func (x *exchange) overloaded() *code.Error {
	return x.holding.conn.share.Budget().Refuse(x.g.host)
}

func (x *exchange) noPlace(l lack) *code.Error {
	if l == lackOfHost {
		return x.overloaded()
	}
	what := fmt.Sprintf("the connection has %d calls in flight, as many as may be", x.g.limits.MaxInFlight)
	e := code.Refuse(code.Unavailable, code.ReasonOverloaded, what, "", x.g.host, placeRetryAfter)
	return e.WithAdvice("listeners[].limits.maxInFlightPerConnection allows more")
}

func (x *exchange) bad(what string) *code.Error {
	return x.refuse(code.InvalidArgument, code.ReasonBadPayload, what)
}

func (x *exchange) tooLarge(what string) *code.Error {
	return x.refuse(code.ResourceExhausted, code.ReasonTooLarge, what)
}

// Problem is one thing that is wrong with the options, at the path of its field in a manifest.
type Problem struct {
	Path    string // "gateway.routes[0].path"
	Message string
}

func (p Problem) String() string { return p.Path + ": " + p.Message }

// Problems is all that is wrong with the options.
type Problems []Problem //nolint:errname // the same word as in config, whose problems these become

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

func (p *Problems) add(path, format string, args ...any) {
	*p = append(*p, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}
