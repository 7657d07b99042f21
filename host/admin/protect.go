package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// protect is what every request goes through: headers that keep browsers from making more of an answer than it is, a
// Host header that names this machine on loopback, and no changes from other sites.
func protect(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, Errorf(CodeForbidden, "a page of another site may not change a host"))
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
			// A name that an attacker's DNS turned to 127.0.0.1 makes a browser send his page's requests here.
			refuse(w, r, Errorf(CodeForbidden, "the Host header does not name this machine").
				WithHelp("use localhost or the IP address"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, r *http.Request, e *Error) { (&api{}).fail(w, r, e) }

// requireToken lets those in who have the token; without one, those on this machine.
func requireToken(token string, next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case token != "" && !carries(r, want):
			w.Header().Set("WWW-Authenticate", `Bearer realm="easymicro admin"`)
			refuse(w, r, Errorf(CodeUnauthenticated, "the admin token is missing or wrong").
				WithHelp("send Authorization: Bearer with the content of admin.tokenFile"))
		case token == "" && !onLoopback(r) && !onUnix(r):
			refuse(w, r, Errorf(CodeForbidden, "without a token the admin API answers on this machine only").
				WithHelp("set admin.tokenFile"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// carries compares hashes, so that the time tells nothing of the token, nor of its length.
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

// NamesThisMachine reports whether a Host header names this machine, or one of the others. It takes any IP address, since
// a page of another site cannot have one as its name without being there, and no name at all, since every browser sends
// one. Case, a port and a final dot make no difference.
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
