package host

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// identity identifies callers. Tokens are kept as hashes only.
type identity struct {
	host       string
	ways       []string // of auth.identify
	callerFrom string   // of auth.mtls
	tokens     map[[sha256.Size]byte]config.Token
}

const (
	identifyMTLS  = "mtls"
	identifyToken = "token"
)

func newIdentity(set *config.Set, host string) identity {
	a := &set.Manifest.Auth
	id := identity{host: host, ways: a.Identify}
	if a.MTLS != nil {
		id.callerFrom = a.MTLS.CallerFrom
	}
	if !slices.Contains(id.ways, identifyToken) {
		return id
	}
	id.tokens = make(map[[sha256.Size]byte]config.Token, len(set.Tokens))
	for _, t := range set.Tokens {
		var sum [sha256.Size]byte
		if n, err := hex.Decode(sum[:], []byte(t.SHA256)); err == nil && n == len(sum) {
			id.tokens[sum] = t
		}
	}
	return id
}

// same reports whether both identify callers alike.
func (id *identity) same(o *identity) bool {
	return slices.Equal(id.ways, o.ways) && id.callerFrom == o.callerFrom && maps.EqualFunc(id.tokens, o.tokens, func(a, b config.Token) bool {
		return a.Caller == b.Caller && a.Expires.Equal(b.Expires)
	})
}

// caller returns the caller of a request with a certificate of its peer, or nil: of the first way that has an answer.
func (id *identity) caller(proof *x509.Certificate, m wire.Metadata) (string, error) {
	for _, way := range id.ways {
		if way == identifyMTLS {
			if name := certified(proof, id.callerFrom); name != "" {
				return name, nil
			}
		} else if auth, ok := m.Lookup(wire.MetaAuth); ok && auth != "" {
			return id.bearer(auth)
		}
	}
	return policies.Anonymous, nil
}

// maxCertified bounds the name of a caller in a certificate, as that of a token.
const maxCertified = 255

// certified returns the caller that a certificate names, or "" if it names none, or none as rules could match it.
func certified(c *x509.Certificate, from string) (name string) {
	switch {
	case c == nil:
	case from == config.CallerFromURI && len(c.URIs) > 0:
		name = c.URIs[0].String()
	case from == config.CallerFromDNS && len(c.DNSNames) > 0:
		name = c.DNSNames[0]
	case from == config.CallerFromCommonName:
		name = c.Subject.CommonName
	}
	if len(name) > maxCertified || strings.ContainsFunc(name, func(r rune) bool { return r == '*' || !unicode.IsGraphic(r) || unicode.IsSpace(r) }) {
		return ""
	}
	return name
}

// bearer returns the caller of a token. An unknown one is refused rather than ignored.
func (id *identity) bearer(auth string) (string, error) {
	t, ok := id.tokens[sha256.Sum256([]byte(bearer(auth)))]
	if !ok {
		what := "unknown token"
		if scheme, _, _ := strings.Cut(auth, " "); otherSchemes[strings.ToLower(scheme)] {
			what = "authentication scheme " + scheme + " is not supported, use a bearer token"
		}
		return "", code.Refuse(code.Unauthenticated, code.ReasonUnauthenticated, what, "", id.host, 0)
	}
	if !t.Expires.IsZero() && !time.Now().Before(t.Expires) {
		return "", code.Refuse(code.Unauthenticated, code.ReasonUnauthenticated,
			"the token of "+t.Caller+" expired at "+t.Expires.UTC().Format(time.RFC3339), "", id.host, 0)
	}
	return t.Caller, nil
}

// otherSchemes are the authentication schemes of HTTP that a host does not support.
var otherSchemes = map[string]bool{"basic": true, "digest": true, "negotiate": true, "apikey": true}

// bearer strips the scheme: rpcx clients send "bearer TOKEN" as well as the bare token.
func bearer(auth string) string {
	if scheme, token, ok := strings.Cut(auth, " "); ok && strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(token)
	}
	return auth
}
