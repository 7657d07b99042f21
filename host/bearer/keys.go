package bearer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/golang-jwt/jwt/v5"
)

// algorithms lists those that sign with a private key. HS256 and the like would accept a public key as the shared secret.
var algorithms = slices.Concat(rsaAlgorithms, []string{"ES256", "ES384", "ES512", "EdDSA"})

var rsaAlgorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}

const (
	maxKeys    = 100
	minRSABits = 2048
	maxRSABits = 8192
)

// Keys are the public keys of a JSON Web Key Set (RFC 7517). They are immutable.
type Keys struct {
	list []key
	sum  [sha256.Size]byte
}

type key struct {
	id         string
	algorithms []string // that it can verify
	public     any
}

// jwk is a key as it is written.
type jwk struct {
	Type       string   `json:"kty"`
	Use        string   `json:"use"`
	Operations []string `json:"key_ops"`
	Algorithm  string   `json:"alg"`
	ID         string   `json:"kid"`
	N          bits     `json:"n"`
	E          bits     `json:"e"`
	Curve      string   `json:"crv"`
	X          bits     `json:"x"`
	Y          bits     `json:"y"`
	D          string   `json:"d"`
}

// bits is base64url without padding.
type bits []byte

func (b *bits) UnmarshalText(text []byte) (err error) {
	*b, err = base64.RawURLEncoding.Strict().AppendDecode(nil, bytes.TrimRight(text, "="))
	return err
}

// ParseKeys returns the keys of a JWKS that verify signatures. Keys for other purposes and of unknown kinds are skipped; that
// none is left is an error. The error quotes nothing of the keys.
func ParseKeys(data []byte) (*Keys, error) {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, errors.New(`is not a JSON Web Key Set: want {"keys": [{"kty": "EC", "kid": …}]}`)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("has %d keys, more than %d", len(set.Keys), maxKeys)
	}
	keys := &Keys{sum: sha256.Sum256(data)}
	for i := range set.Keys {
		k, err := set.Keys[i].parse()
		switch {
		case err != nil:
			return nil, fmt.Errorf("keys[%d]%w", i, err)
		case k.public == nil:
			continue
		case slices.ContainsFunc(keys.list, func(o key) bool { return o.id == k.id }):
			return nil, fmt.Errorf("keys[%d].kid: an earlier key has the same", i)
		}
		keys.list = append(keys.list, k)
	}
	if len(keys.list) == 0 {
		return nil, errors.New("has no key that verifies signatures: RSA, EC (P-256, P-384, P-521) or OKP (Ed25519)")
	}
	return keys, nil
}

// parse returns a key without public if it is not for signatures.
func (j *jwk) parse() (k key, err error) {
	switch {
	case j.Type == "oct":
		return k, errors.New(".kty: oct is a shared secret, by which each host could sign tokens too: use RSA, EC or OKP")
	case j.D != "":
		return k, errors.New(".d: is a private key: only the issuer may have it")
	case j.Use != "" && j.Use != "sig", len(j.Operations) > 0 && !slices.Contains(j.Operations, "verify"):
		return k, nil
	}
	k = key{id: j.ID}
	switch j.Type {
	case "RSA":
		k.algorithms, k.public, err = j.rsa()
	case "EC":
		k.algorithms, k.public, err = j.ec()
	case "OKP":
		if j.Curve != "Ed25519" {
			return key{}, nil
		}
		if len(j.X) != ed25519.PublicKeySize {
			return k, errors.New(".x: is not 32 bytes long")
		}
		k.algorithms, k.public = []string{"EdDSA"}, ed25519.PublicKey(j.X)
	}
	if err != nil || k.public == nil || j.Algorithm == "" {
		return k, err
	}
	if !slices.Contains(k.algorithms, j.Algorithm) {
		return k, errors.New(".alg: does not go with the key, want one of " + strings.Join(k.algorithms, ", "))
	}
	k.algorithms = []string{j.Algorithm}
	return k, nil
}

func (j *jwk) rsa() (algorithms []string, public any, err error) {
	n, e := new(big.Int).SetBytes(j.N), new(big.Int).SetBytes(j.E)
	if n.BitLen() < minRSABits || n.BitLen() > maxRSABits {
		return nil, nil, fmt.Errorf(".n: has %d bits, want %d to %d", n.BitLen(), minRSABits, maxRSABits)
	}
	if e.BitLen() > 31 || e.Int64() < 3 || e.Bit(0) == 0 {
		return nil, nil, errors.New(".e: want an odd exponent from 3 to 2147483647, such as AQAB")
	}
	return rsaAlgorithms, &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
}

func (j *jwk) ec() (algorithms []string, public any, err error) {
	var curve elliptic.Curve
	switch j.Curve {
	case "P-256":
		curve, algorithms = elliptic.P256(), []string{"ES256"}
	case "P-384":
		curve, algorithms = elliptic.P384(), []string{"ES384"}
	case "P-521":
		curve, algorithms = elliptic.P521(), []string{"ES512"}
	default:
		return nil, nil, nil
	}
	point, err := ecdsa.ParseUncompressedPublicKey(curve, slices.Concat([]byte{4}, j.X, j.Y))
	if err != nil {
		return nil, nil, errors.New(".x, .y: are not a point of " + j.Curve)
	}
	return algorithms, point, nil
}

// Same reports whether both are made of the same text.
func (k *Keys) Same(o *Keys) bool {
	if k == nil || o == nil {
		return k == o
	}
	return k.sum == o.sum
}

var errNoKey = errors.New("the key of the token is unknown")

// find returns the key by which a token is verified: that of its kid, or without one the only key for its algorithm. The
// algorithm must be one of that key.
func (k *Keys) find(t *jwt.Token) (any, error) {
	if _, critical := t.Header["crit"]; critical { // no extension is known
		return nil, errors.New("crit is not supported")
	}
	kid, named := t.Header["kid"]
	id, text := kid.(string)
	if named && !text {
		return nil, errNoKey
	}
	var found any
	for i := range k.list {
		switch c := &k.list[i]; {
		case named && c.id != id, !slices.Contains(c.algorithms, t.Method.Alg()):
		case found != nil:
			return nil, errNoKey
		default:
			found = c.public
		}
	}
	if found == nil {
		return nil, errNoKey
	}
	return found, nil
}
