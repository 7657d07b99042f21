// Package gateway serves calls over HTTP and JSON.
package gateway

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// Options configure a Gateway. Only Handler is required.
type Options struct {
	// Handler runs the calls. It gets the names as the caller spelled them (exact ones from Routes and Get), the codec that
	// the request named and a payload that is not compressed. It should use the HTTP forms of the JSON codec for calls whose
	// transport is "http". If it starts by setting a traceparent in the request's metadata, error responses name that trace.
	Handler wire.Handler
	// Resolve returns the method of a name as the Handler does: exactly, or by a unique match that ignores case. The Target
	// has the main names even for an alias: Routes and Get are compared by them. Both need Resolve.
	Resolve func(service, method string) (Target, bool)
	// Remote reports whether a service is served by other hosts; Resolve finds it only while one is available. Routes and Get
	// name methods of such services exactly as they are called. Their argument types are unknown, so query and path parameters
	// become strings. The Handler must return from their calls as soon as the context ends: no goroutine is started for them.
	// May be nil.
	Remote func(service string) bool
	// Unknown returns the Handler's error for names that Resolve does not find, for where the Handler is not called, as for
	// GET. Nil means an error that names the method.
	Unknown func(service, method string) *code.Error
	// Nearest returns the known word that was probably meant; "" for none. May be nil.
	Nearest func(word string, known []string) string

	// Metadata maps names of metadata to the HTTP headers that they are taken from. A name in a Meta header that differs from
	// one of these only in case is the same. Different values in the two are refused: a proxy in front may have set the header
	// without seeing the other.
	Metadata map[string]string

	Routes         []Route        // besides POST /{service}/{method}
	Get            []string       // methods that may be called by GET, as "Arith.Mul"
	AllowOrigins   []string       // browser origins that may call, as "https://app.example"; "*" for all
	ExposeInternal bool           // include the value of a handler's panic in the response
	JSONRPC        string         // the path of JSON-RPC 2.0; empty: none
	RejectUnknown  bool           // refuse query parameters that the argument does not have, instead of ignoring them
	TrustedProxies []netip.Prefix // whose X-Forwarded-For gives the peer's address
	TrustUnix      bool           // trust the X-Forwarded-For of every peer of a unix socket
	Limits         wire.Limits    // zero fields mean the defaults
	// AnswersTo reports whether a Host header names this machine. It is called for listeners that only this machine can reach,
	// except for trusted proxies: an attacker whose DNS name resolves to 127.0.0.1 makes browsers send a page's requests here.
	// Nil accepts all.
	AnswersTo func(host string) bool
	Host      string // the name in refusals

	Logger *slog.Logger // for panics that reach the gateway; nil discards them
	// Refused is called for each request that never became a call, with the names requested, if any. Callers get the Public
	// text of e; its Message may contain more. May be nil.
	Refused func(service, method string, e *code.Error)
	// Missed is called for each request that leads to no method. May be nil.
	Missed func(r *http.Request)
}

// Gateway serves calls over HTTP. It is immutable and cheap to make: a host makes one for each generation. It is safe
// for concurrent use.
type Gateway struct {
	handler        wire.Handler
	remote         func(service string) bool
	limits         wire.Limits
	host           string
	exposeInternal bool
	rejectUnknown  bool
	logger         *slog.Logger
	refused        func(service, method string, e *code.Error)
	missed         func(r *http.Request)

	router   *router
	metadata metadataHeaders
	origins  *origins
	peers    peers
	running  sync.WaitGroup
}

// New returns a gateway. An error is of type OptionErrors.
func New(o Options) (*Gateway, error) {
	g := &Gateway{
		handler: o.Handler, remote: o.Remote, limits: o.Limits.WithDefaults(), host: o.Host, exposeInternal: o.ExposeInternal,
		rejectUnknown: o.RejectUnknown, logger: o.Logger, refused: o.Refused, missed: o.Missed,
		peers: peers{proxies: o.TrustedProxies, trustUnix: o.TrustUnix, answersTo: o.AnswersTo},
	}
	if g.remote == nil {
		g.remote = func(string) bool { return false }
	}
	if g.logger == nil {
		g.logger = slog.New(slog.DiscardHandler)
	}
	g.router = &router{rpc: o.JSONRPC, resolve: o.Resolve, unknown: o.Unknown, nearest: o.Nearest, remote: g.remote}
	if o.Resolve == nil {
		g.router.resolve = func(string, string) (Target, bool) { return Target{}, false }
	}
	if o.Unknown == nil {
		g.router.unknown = func(service, method string) *code.Error {
			what := fmt.Sprintf("no method %q", code.Clip(service+"."+method, 200))
			return code.Refuse(code.Unimplemented, code.ReasonUnknownMethod, what, "", g.host, 0)
		}
	}
	if o.Nearest == nil {
		g.router.nearest = func(string, []string) string { return "" }
	}
	var errs OptionErrors
	g.metadata, errs = newMetadataHeaders(o.Metadata)
	g.origins = newOrigins(o.AllowOrigins, &errs)
	g.router.addGet(o.Get, &errs)
	g.router.addRoutes(o.Routes, &errs)
	if len(errs) > 0 {
		return nil, errs
	}
	return g, nil
}

// Wait returns when no call is running any more. One-way calls, and calls answered at their deadline, can outlive their
// HTTP request. Use it after the HTTP server has shut down.
func (g *Gateway) Wait() { g.running.Wait() }

// Leads returns the method that a request is for, by its path and HTTP method. The method need not exist.
func (g *Gateway) Leads(r *http.Request) (service, method string, ok bool) { return g.router.leads(r) }

// ServeHTTP serves one request.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := newExchange(g, w, r)
	x.limitBody()
	if endsAfter(x.holding.conn, r) {
		w.Header().Set("Connection", "close")
	}
	g.conclude(x, x.serve())
}

// conclude responds with the error of an exchange, if there is one, and ends it.
func (g *Gateway) conclude(x *exchange, e *code.Error) {
	if e != nil {
		if g.refused != nil && !x.called {
			g.refused(x.service, x.method, e)
		}
		if g.missed != nil && (e.Reason == code.ReasonUnknownMethod || e.Reason == reasonMethodNotAllowed) {
			g.missed(x.r)
		}
		x.fail(e)
	}
	x.release()
}
