// Command tokens acts as the identity provider of the sample jwt: it makes a signing key on its first run, and on each run tokens for
// the callers.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	keyFile  = "signing.key"
	jwksFile = "jwks.json"

	issuer   = "https://id.example"
	audience = "arith"
)

func main() {
	dir := flag.String("dir", "samples/jwt/keys", "`FOLDER` of the files")
	lifetime := flag.Duration("for", time.Hour, "`DURATION` for which the tokens are valid")
	newKey := flag.Bool("new-key", false, "add a new key in front of that in jwks.json, and issue no token; the next run uses it")
	flag.Parse()
	if err := run(*dir, *lifetime, *newKey); err != nil {
		fmt.Fprintln(os.Stderr, "tokens:", err)
		os.Exit(1) //nolint:forbidigo // a command of its own
	}
}

func run(dir string, lifetime time.Duration, newKey bool) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	key, err := readKey(dir)
	if missing := errors.Is(err, fs.ErrNotExist); newKey || missing {
		if key, err = makeKey(dir); err == nil && !missing {
			return nil
		}
	}
	if err != nil {
		return err
	}
	for _, c := range []struct{ name, org string }{{"web", "acme"}, {"batch", "globex"}} {
		if err := issue(dir, c.name, c.org, key, time.Now().Add(lifetime)); err != nil {
			return err
		}
	}
	return nil
}

// claims are what a token says of its caller.
type claims struct {
	jwt.RegisteredClaims
	Org string `json:"org"`
}

// publicKey is a key of a JWKS (RFC 7517).
type publicKey struct {
	Type  string `json:"kty"`
	ID    string `json:"kid"`
	Curve string `json:"crv"`
	X     string `json:"x"`
	Y     string `json:"y"`
}

// public returns the public key, with an ID that is its hash.
func public(key *ecdsa.PrivateKey) (publicKey, error) {
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return publicKey{}, err
	}
	b64, sum := base64.RawURLEncoding.EncodeToString, sha256.Sum256(point)
	const byteOfCoordinate = 32
	x, y := point[1:1+byteOfCoordinate], point[1+byteOfCoordinate:]
	return publicKey{Type: "EC", ID: b64(sum[:8]), Curve: "P-256", X: b64(x), Y: b64(y)}, nil
}

// makeKey makes a key, and puts the public one in front of that of the previous key.
func makeKey(dir string) (*ecdsa.PrivateKey, error) {
	var set struct {
		Keys []publicKey `json:"keys"`
	}
	if text, err := os.ReadFile(filepath.Join(dir, jwksFile)); err == nil {
		if err := json.Unmarshal(text, &set); err != nil {
			return nil, fmt.Errorf("%s: %w", jwksFile, err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	first, err := public(key)
	if err != nil {
		return nil, err
	}
	set.Keys = append([]publicKey{first}, set.Keys[:min(1, len(set.Keys))]...)
	text, err := json.MarshalIndent(set, "", "  ")
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	if err := write(dir, keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})); err != nil {
		return nil, err
	}
	return key, write(dir, jwksFile, append(text, '\n'))
}

func readKey(dir string) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New(keyFile + " is not in PEM")
	}
	return x509.ParseECPrivateKey(block.Bytes)
}

// issue signs a token for a caller.
func issue(dir, caller, org string, key *ecdsa.PrivateKey, expires time.Time) error {
	by, err := public(key)
	if err != nil {
		return err
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claims{jwt.RegisteredClaims{
		Issuer: issuer, Audience: jwt.ClaimStrings{audience}, Subject: caller, IssuedAt: jwt.NewNumericDate(time.Now()), ExpiresAt: jwt.NewNumericDate(expires),
	}, org})
	token.Header["kid"] = by.ID
	text, err := token.SignedString(key)
	if err != nil {
		return err
	}
	if err := write(dir, caller+".jwt", []byte(text+"\n")); err != nil {
		return err
	}
	_, err = fmt.Fprintf(os.Stdout, "%-10s valid until %s\n", caller+".jwt", expires.UTC().Format(time.RFC3339))
	return err
}

// write replaces a file, so that a reader sees either the old text or the new one.
func write(dir, name string, text []byte) error {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
