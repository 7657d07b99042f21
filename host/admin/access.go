package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
)

// access decides which requests may use the API. It holds the hashes of tokens only.
type access struct {
	*api
	tokens []config.AdminToken
	open   bool // no token is configured
}

// newAccess returns the access for the tokens of the options.
func newAccess(a *api, o Options) *access {
	c := &access{api: a, tokens: o.Tokens, open: o.Token == "" && o.Tokens == nil}
	if o.Token != "" {
		sum := sha256.Sum256([]byte(o.Token))
		c.tokens = append(slices.Clip(c.tokens), config.AdminToken{SHA256: hex.EncodeToString(sum[:]), Role: config.RoleOperate})
	}
	return c
}

// protect sets headers that keep browsers from interpreting responses. It refuses cross-site requests and, on loopback,
// Host headers that do not name this machine.
func (c *access) protect(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { c.refuse(w, r, errCrossSite()) }))
	next = cross.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		if len(r.TransferEncoding) > 0 { // net/http takes it beside a Content-Length: a proxy may see the end of the body elsewhere
			h.Set("Connection", "close")
		}
		switch {
		case onLoopback(r) && !NamesThisMachine(r.Host):
			// DNS rebinding: a name that resolves to 127.0.0.1 makes a browser send requests of a foreign page here.
			c.refuse(w, r, Errorf(CodeForbidden, "the Host header does not name this machine").
				WithHelp("use localhost or the IP address"))
		case foreign(r) && r.Header.Get("Sec-Fetch-Mode") != "navigate": // a page may link here, but not load anything
			c.refuse(w, r, errCrossSite())
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func errCrossSite() *Error { return Errorf(CodeForbidden, "cross-site requests are not allowed") }

// foreign reports whether the browser says that a page of another site makes the request.
func foreign(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "cross-site" || site == "same-site"
}

// refuse answers a request that may not use the API, and reports it.
func (c *access) refuse(w http.ResponseWriter, r *http.Request, e *Error) {
	if c.refused != nil {
		c.refused(peerOf(r), operatorOf(r).Name, e)
	}
	c.fail(w, r, e)
}

// operatorKey is the key of the token of a request in its context.
type operatorKey struct{}

// operatorOf returns the token of a request; its zero value if none is needed.
func operatorOf(r *http.Request) config.AdminToken {
	t, _ := r.Context().Value(operatorKey{}).(config.AdminToken)
	return t
}

// identify refuses requests without a token that may do what they ask for or, if none is configured, from other machines.
func (c *access) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.open && (onLoopback(r) || onUnix(r)) {
			next.ServeHTTP(w, r)
			return
		}
		if c.open {
			c.refuse(w, r, Errorf(CodeForbidden, "without a token the admin API accepts only local requests").
				WithHelp("set admin.tokens or admin.tokenFile"))
			return
		}
		t, e := c.token(r)
		if e != nil {
			w.Header().Set("WWW-Authenticate", `Bearer realm="easymicro admin"`)
			c.refuse(w, r, e)
			return
		}
		r = r.WithContext(context.WithValue(r.Context(), operatorKey{}, t))
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		c.operate(next).ServeHTTP(w, r)
	})
}

// operate refuses requests whose token has not the role operate.
func (c *access) operate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t := operatorOf(r); !c.open && t.Role != config.RoleOperate {
			c.refuse(w, r, Errorf(CodeForbidden, "this needs the role %s, and the token of %s has the role %s", config.RoleOperate, t.Name, t.Role).
				WithHelp("use a token of role %s of admin.tokens.file", config.RoleOperate))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// sameSite refuses requests of pages of other sites, links included: a profile costs time.
func (c *access) sameSite(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if foreign(r) {
			c.refuse(w, r, errCrossSite())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// token returns the token that a request carries. It compares hashes, in constant time.
func (c *access) token(r *http.Request) (t config.AdminToken, e *Error) {
	scheme, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(text)))
	got, found := hex.AppendEncode(nil, sum[:]), 0
	for i := range c.tokens {
		same := subtle.ConstantTimeCompare(got, []byte(c.tokens[i].SHA256))
		found = subtle.ConstantTimeSelect(same, i+1, found)
	}
	if found == 0 || !strings.EqualFold(scheme, "Bearer") {
		return t, Errorf(CodeUnauthenticated, "the admin token is missing or wrong").
			WithHelp("send Authorization: Bearer with the content of admin.tokenFile, or with a token of admin.tokens.file")
	}
	if t = c.tokens[found-1]; !t.Expires.IsZero() && !time.Now().Before(t.Expires) {
		return config.AdminToken{}, Errorf(CodeUnauthenticated, "the admin token of %s expired on %s", t.Name, t.Expires.UTC().Format(time.RFC3339)).
			WithHelp("use another one of admin.tokens.file")
	}
	return t, nil
}

// who returns the name of the token of a request, or else the address of the client.
func who(r *http.Request) string {
	if name := operatorOf(r).Name; name != "" {
		return name
	}
	return peerOf(r)
}

// peerOf returns the address of the client.
func peerOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return "unix socket"
	}
	return host
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
