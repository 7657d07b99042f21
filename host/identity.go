package host

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/bearer"
	"github.com/easymicro/easymicro/host/credentials"
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
	signed     *bearer.Verifier // of auth.jwt; nil: not used
}

const (
	identifyMTLS  = "mtls"
	identifyJWT   = "jwt"
	identifyToken = "token"
)

// newIdentity returns the identity of a set. If its keys are invalid, those of running stay in
// use, with warnings; running may be nil.
func newIdentity(set *config.Set, host string, running *generation) (identity, config.Problems, error) {
	a := &set.Manifest.Auth
	id := identity{host: host, ways: a.Identify}
	if a.MTLS != nil {
		id.callerFrom = a.MTLS.CallerFrom
	}
	id.list(set)
	if a.JWT == nil || !slices.Contains(id.ways, identifyJWT) {
		return id, nil, nil
	}
	options := bearer.Options{Issuer: a.JWT.Issuer, Audience: a.JWT.Audience, CallerClaim: a.JWT.CallerClaim, Claims: a.JWT.Claims}
	var kept config.Problems
	before := running.verifier()
	if a.JWT.JWKSURL != "" {
		source, err := credentials.KeySource(set, running.keySources()...)
		if err != nil {
			return id, nil, err
		}
		id.signed = bearer.New(nil, source, options)
	} else {
		var inUse *bearer.Keys
		if before != nil && running.set.Manifest.Auth.JWT.JWKSFile == a.JWT.JWKSFile {
			inUse = before.Keys()
		}
		keys, warnings, err := credentials.Keys(set, inUse)
		if err != nil {
			return id, nil, err
		}
		id.signed, kept = bearer.New(keys, nil, options), warnings
	}
	if before.Same(id.signed) {
		id.signed = before // with what it has verified
	}
	return id, kept, nil
}

// list adds the tokens of a set if callers are identified by them.
func (id *identity) list(set *config.Set) {
	if !slices.Contains(id.ways, identifyToken) {
		return
	}
	id.tokens = make(map[[sha256.Size]byte]config.Token, len(set.Tokens))
	for _, t := range set.Tokens {
		var sum [sha256.Size]byte
		if n, err := hex.Decode(sum[:], []byte(t.SHA256)); err == nil && n == len(sum) {
			id.tokens[sum] = t
		}
	}
}

// same reports whether both identify callers alike.
func (id *identity) same(o *identity) bool {
	sameToken := func(a, b config.Token) bool { return a.Caller == b.Caller && a.Expires.Equal(b.Expires) }
	return slices.Equal(id.ways, o.ways) && id.callerFrom == o.callerFrom && id.signed.Same(o.signed) &&
		maps.EqualFunc(id.tokens, o.tokens, sameToken)
}

// caller returns the caller of a request with a certificate of its peer, or nil: of the first way that has an answer. ctx bounds how
// long it waits to verify a signature.
func (id *identity) caller(ctx context.Context, proof *x509.Certificate, peer netip.Addr, m wire.Metadata) (name string, claims map[string]string, err error) {
	for _, way := range id.ways {
		if way == identifyMTLS {
			if name := certified(proof, id.callerFrom); name != "" {
				return name, nil, nil
			}
			continue
		}
		auth, _ := m.Lookup(wire.MetaAuth)
		if auth == "" {
			continue
		}
		switch isSigned := bearer.Looks(unschemed(auth)); {
		case way == identifyJWT && (isSigned || id.tokens == nil):
			return id.signedCaller(ctx, peer, auth)
		case way == identifyToken && (!isSigned || id.signed == nil || id.lists(auth)):
			name, err = id.listedCaller(auth)
			return name, nil, err
		}
	}
	return policies.Anonymous, nil, nil
}

// maxCaller bounds the name of a caller in a certificate or a signed token, as that of a token in the list.
const maxCaller = 255

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
	if !matchable(name) {
		return ""
	}
	return name
}

// matchable reports whether rules can match a caller of that name.
func matchable(name string) bool {
	return len(name) <= maxCaller && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, func(r rune) bool { return r == '*' || !unicode.IsGraphic(r) || unicode.IsSpace(r) })
}

// signedCaller returns the caller of a signed token, with its claims. Any other credential is refused rather than ignored.
func (id *identity) signedCaller(ctx context.Context, peer netip.Addr, auth string) (name string, claims map[string]string, err error) {
	token := unschemed(auth)
	if !bearer.Looks(token) {
		return "", nil, id.refuse(unsupported(auth, "not a signed token (JWT)"))
	}
	name, claims, err = id.signed.Caller(ctx, peer, token)
	switch busy := new(bearer.BusyError); {
	case errors.As(err, &busy):
		return "", nil, code.Refuse(code.Unavailable, code.ReasonOverloaded, busy.Error(), "", id.host, busy.RetryAfter)
	case errors.Is(err, bearer.ErrNoKeys):
		return "", nil, code.Refuse(code.Unavailable, code.ReasonNoKeys, err.Error(), "", id.host, time.Second)
	case err != nil:
		return "", nil, id.refuse(err.Error())
	case !matchable(name) || name == policies.Anonymous:
		return "", nil, id.refuse("the token names a caller that no rule can match")
	}
	return name, claims, nil
}

func (id *identity) refuse(what string) error {
	return code.Refuse(code.Unauthenticated, code.ReasonUnauthenticated, what, "", id.host, 0)
}

// unsupported returns the text for a credential of another scheme, or else.
func unsupported(auth, otherwise string) string {
	if scheme, _, _ := strings.Cut(auth, " "); otherSchemes[strings.ToLower(scheme)] {
		return "authentication scheme " + scheme + " is not supported, use a bearer token"
	}
	return otherwise
}

// lists reports whether a token is in the list.
func (id *identity) lists(auth string) bool {
	_, ok := id.tokens[sha256.Sum256([]byte(unschemed(auth)))]
	return ok
}

// listedCaller returns the caller of a token of the list. An unknown one is refused rather than ignored.
func (id *identity) listedCaller(auth string) (string, error) {
	t, ok := id.tokens[sha256.Sum256([]byte(unschemed(auth)))]
	if !ok {
		return "", id.refuse(unsupported(auth, "unknown token"))
	}
	if !t.Expires.IsZero() && !time.Now().Before(t.Expires) {
		return "", id.refuse("the token of " + t.Caller + " expired at " + t.Expires.UTC().Format(time.RFC3339))
	}
	return t.Caller, nil
}

// otherSchemes are the authentication schemes of HTTP that a host does not support.
var otherSchemes = map[string]bool{"basic": true, "digest": true, "negotiate": true, "apikey": true}

// unschemed strips the scheme: rpcx clients send "bearer TOKEN" as well as the bare token.
func unschemed(auth string) string {
	if scheme, token, ok := strings.Cut(auth, " "); ok && strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(token)
	}
	return auth
}
