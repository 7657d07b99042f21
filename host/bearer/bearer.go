// Package bearer verifies the signed tokens (JWT, RFC 7519) by which callers identify themselves.
package bearer

import (
	"context"
	"crypto/sha256"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
)

const (
	maxTokenBytes = 16 << 10
	maxVerified   = 10_000
	leeway        = 30 * time.Second
)

// Options are what a token must say. All but Claims are required.
type Options struct {
	Issuer      string
	Audience    string
	CallerClaim string            // the claim that is the caller
	Claims      map[string]string // other claims of the caller, by the names under which Caller returns them
}

// Verifier verifies tokens. It may be shared.
type Verifier struct {
	options   Options
	keys      *Keys   // of a file
	source    *Source // or of a URL
	parser    *jwt.Parser
	validator *jwt.Validator
	effort    *effort

	mu       sync.Mutex
	verified map[[sha256.Size]byte]verified // by hash of the token
}

type verified struct {
	caller string
	claims map[string]string
	until  time.Time
	keys   *Keys // by which it was verified
}

// ErrNoKeys is the error of a token that comes before the source of the keys has delivered any.
var ErrNoKeys = errors.New("the token cannot be verified: the keys of its issuer could not be fetched yet")

// New returns a verifier of tokens that one of the keys, or of those of the source, has signed.
func New(keys *Keys, source *Source, o Options) *Verifier {
	rules := []jwt.ParserOption{
		jwt.WithValidMethods(algorithms), jwt.WithIssuer(o.Issuer), jwt.WithAudience(o.Audience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
		jwt.WithLeeway(leeway), jwt.WithStrictDecoding(),
	}
	return &Verifier{
		options: o, keys: keys, source: source, verified: make(map[[sha256.Size]byte]verified), effort: newEffort(),
		parser: jwt.NewParser(rules...), validator: jwt.NewValidator(rules...),
	}
}

// Keys returns the keys of the verifier, or nil.
func (v *Verifier) Keys() *Keys {
	switch {
	case v == nil:
		return nil
	case v.source != nil:
		return v.source.keys.Load()
	}
	return v.keys
}

// Source returns the source of the keys, or nil.
func (v *Verifier) Source() *Source {
	if v == nil {
		return nil
	}
	return v.source
}

// Same reports whether both accept the same tokens for the same callers with the same claims.
func (v *Verifier) Same(o *Verifier) bool {
	if v == nil || o == nil {
		return v == o
	}
	a, b := &v.options, &o.options
	return a.Issuer == b.Issuer && a.Audience == b.Audience && a.CallerClaim == b.CallerClaim && maps.Equal(a.Claims, b.Claims) &&
		v.source == o.source && v.keys.Same(o.keys)
}

// Looks reports whether text has the form of a signed token: three parts, the first of them a JSON object in base64.
func Looks(text string) bool { return strings.HasPrefix(text, "eyJ") && strings.Count(text, ".") == 2 }

// Caller returns the caller that a token of a peer names, and the claims of it that Options names and the token has, which callers
// only read. The text of the error quotes nothing of the token but its dates, and is
// fit for callers. It is a *BusyError if many tokens are verified, or if many of the peer were rejected; ctx bounds the wait.
func (v *Verifier) Caller(ctx context.Context, peer netip.Addr, token string) (caller string, claims map[string]string, err error) {
	if len(token) > maxTokenBytes {
		return "", nil, errors.New("the token is larger than 16 KiB")
	}
	keys := v.Keys()
	if keys == nil {
		return "", nil, ErrNoKeys
	}
	sum := sha256.Sum256([]byte(token))
	is, ok := v.known(sum, keys)
	if ok {
		return is.caller, is.claims, nil
	}
	err = v.precheck(token, keys)
	if errors.Is(err, errNoKey) && v.source != nil && v.source.renew(ctx) {
		keys = v.Keys()
		err = v.precheck(token, keys)
	}
	if err != nil {
		return "", nil, err
	}
	err = v.effort.spend(ctx, peer, func() error {
		if is, ok = v.known(sum, keys); ok { // another call has waited with the same token
			return nil
		}
		var err error
		if is, err = v.verify(token, keys); err != nil {
			return err
		}
		v.remember(sum, is)
		return nil
	})
	return is.caller, is.claims, err
}

// known returns what a token says that the keys have verified before.
func (v *Verifier) known(sum [sha256.Size]byte, keys *Keys) (is verified, ok bool) {
	v.mu.Lock()
	is, ok = v.verified[sum]
	v.mu.Unlock()
	return is, ok && is.keys == keys && time.Now().Before(is.until)
}

func (v *Verifier) remember(sum [sha256.Size]byte, is verified) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.verified) >= maxVerified {
		clear(v.verified) // a few calls are verified again
	}
	v.verified[sum] = is
}

// precheck rejects tokens for which no signature need be verified, which takes a hundred times longer.
func (v *Verifier) precheck(token string, keys *Keys) error {
	var c claims
	t, _, err := v.parser.ParseUnverified(token, &c)
	switch {
	case err != nil:
		return c.wrong(err)
	case !slices.Contains(algorithms, t.Method.Alg()):
		return c.wrong(jwt.ErrTokenSignatureInvalid)
	}
	if _, err = keys.find(t); err == nil {
		err = v.validator.Validate(&c)
	}
	if err != nil {
		return c.wrong(err)
	}
	return nil
}

func (v *Verifier) verify(token string, keys *Keys) (is verified, err error) {
	var c claims
	if _, err := v.parser.ParseWithClaims(token, &c, keys.find); err != nil {
		return is, c.wrong(err)
	}
	caller, ok := c.MapClaims[v.options.CallerClaim].(string)
	if !ok || caller == "" {
		return is, errors.New("the token does not name its caller: it has no text as " + v.options.CallerClaim)
	}
	at, err := c.GetExpirationTime()
	if err != nil {
		return is, c.wrong(err)
	}
	named, err := claimsOf(c.text, v.options.Claims)
	if err != nil {
		return is, err
	}
	return verified{caller, named, at.Add(leeway), keys}, nil
}

// claims rejects duplicate names, of which others may read another one.
type claims struct {
	jwt.MapClaims
	text []byte
}

func (c *claims) UnmarshalJSON(data []byte) error {
	c.text = slices.Clone(data)
	return json.Unmarshal(data, &c.MapClaims)
}

// wrong returns what callers are told. Causes that only a forger meets are not distinguished.
func (c *claims) wrong(err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		if at, err := c.GetExpirationTime(); err == nil && at != nil {
			return errors.New("the token expired at " + at.UTC().Format(time.RFC3339))
		}
		return errors.New("the token expired")
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return errors.New("the token is not valid yet")
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return errors.New("the token is for another audience")
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return errors.New("the token is of another issuer")
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return errors.New("the token needs iss, aud and exp")
	case errors.Is(err, errNoKey):
		return errNoKey
	case errors.Is(err, jwt.ErrTokenMalformed):
		return errors.New("the token cannot be parsed")
	case errors.Is(err, jwt.ErrTokenInvalidClaims):
		return errors.New("the claims of the token are invalid")
	}
	return errors.New("the signature of the token is invalid")
}
