package host

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// identity identifies callers. Tokens are kept as hashes only.
type identity struct {
	host   string
	on     bool
	tokens map[[sha256.Size]byte]config.Token
}

func newIdentity(set *config.Set, host string) identity {
	id := identity{host: host, on: slices.Contains(set.Manifest.Auth.Identify, "token")}
	if !id.on {
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
	return id.on == o.on && maps.EqualFunc(id.tokens, o.tokens, func(a, b config.Token) bool {
		return a.Caller == b.Caller && a.Expires.Equal(b.Expires)
	})
}

// caller returns the caller of a request. An unknown token is refused rather than ignored.
func (id *identity) caller(m wire.Metadata) (string, error) {
	if !id.on {
		return policies.Anonymous, nil
	}
	auth, ok := m.Lookup(wire.MetaAuth)
	if !ok || auth == "" {
		return policies.Anonymous, nil
	}
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

// metadataOf returns the metadata as rules see it: over HTTP, names of headers are not case-sensitive.
func metadataOf(call *wire.Call, req *wire.Frame) getter {
	if call.Transport() == wire.TransportHTTP {
		return (*headerNames)(&req.Metadata)
	}
	return &req.Metadata
}

type headerNames wire.Metadata

// Get returns the value of a name, preferably in that very spelling.
func (m *headerNames) Get(name string) string { return wire.Metadata(*m).GetFold(name) }

// forwardedMetadata returns metadata without what describes the connection of the caller.
func forwardedMetadata(m wire.Metadata) wire.Metadata {
	var passed wire.Metadata
	for _, pair := range m {
		if pair[0] != wire.MetaAcceptCompression {
			passed = append(passed, pair)
		}
	}
	return passed
}
