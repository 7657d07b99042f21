package bearer_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/easymicro/easymicro/host/bearer"
)

// issuer serves the public keys with which it signs tokens.
type issuer struct {
	*httptest.Server
	fetches atomic.Int64

	mu   sync.Mutex
	keys map[string]ed25519.PrivateKey // by kid
	fail http.HandlerFunc              // nil: the keys are served
}

func newIssuer(t *testing.T, kids ...string) *issuer {
	t.Helper()
	i := &issuer{}
	i.rotate(kids...)
	i.Server = httptest.NewServer(i)
	t.Cleanup(i.Close)
	return i
}

// rotate replaces the keys; that of a kid is always the same.
func (i *issuer) rotate(kids ...string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = make(map[string]ed25519.PrivateKey)
	for _, kid := range kids {
		i.keys[kid] = keyOf(kid)
	}
}

func (i *issuer) failBy(h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fail = h
}

func keyOf(kid string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(fmt.Sprintf("%-32s", kid)))
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.fetches.Add(1)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fail != nil {
		i.fail(w, r)
		return
	}
	var keys []string
	for kid, key := range i.keys {
		public := key[ed25519.PublicKeySize:]
		keys = append(keys, fmt.Sprintf(`{"kty": "OKP", "crv": "Ed25519", "kid": %q, "x": %q}`, kid, base64.RawURLEncoding.EncodeToString(public)))
	}
	_, _ = io.WriteString(w, `{"keys": [`+strings.Join(keys, ",")+`]}`)
}

func tokenBy(t *testing.T, kid string) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"iss": "i", "aud": "a", "sub": "s", "exp": time.Now().Add(time.Hour).Unix()})
	token.Header["kid"] = kid
	text, err := token.SignedString(keyOf(kid))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func verifierOf(s *bearer.Source) *bearer.Verifier {
	return bearer.New(nil, s, bearer.Options{Issuer: "i", Audience: "a", CallerClaim: "sub"})
}

// follow follows a source until the test ends, and returns what it tells.
func follow(t *testing.T, s *bearer.Source) <-chan bearer.Fetched {
	t.Helper()
	told := make(chan bearer.Fetched, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Follow(ctx, func(f bearer.Fetched) { told <- f })
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return told
}

// until waits for a state that a source tells.
func until(t *testing.T, told <-chan bearer.Fetched, want func(bearer.Fetched) bool) bearer.Fetched {
	t.Helper()
	for {
		select {
		case f := <-told:
			if want(f) {
				return f
			}
		case <-time.After(time.Minute):
			t.Fatal("nothing was told within a minute")
		}
	}
}

func TestKeysOfAURLAreUsedUntilOthersCome(t *testing.T) {
	i := newIssuer(t, "one")
	s := bearer.NewSource("", i.URL, nil)
	v := verifierOf(s)
	if _, _, err := v.Caller(t.Context(), netip.Addr{}, tokenBy(t, "one")); !errors.Is(err, bearer.ErrNoKeys) {
		t.Errorf("before the first fetch: %v", err)
	}
	for _, step := range []struct {
		name     string
		change   func()
		failure  string // of the fetch
		accepted []string
		refused  []string
	}{
		{"first", func() {}, "", []string{"one"}, []string{"two"}},
		{"failing", func() { i.failBy(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }) }, "500", []string{"one"}, []string{"two"}},
		{"both", func() { i.failBy(nil); i.rotate("one", "two") }, "", []string{"one", "two"}, nil},
		{"removed", func() { i.rotate("two") }, "", []string{"two"}, []string{"one"}},
		{"none", func() { i.rotate() }, "no key that verifies", []string{"two"}, []string{"one"}},
	} {
		step.change()
		if _, err := s.Fetch(t.Context()); (err != nil) != (step.failure != "") || err != nil && !strings.Contains(err.Error(), step.failure) {
			t.Errorf("%s: %v, want %q", step.name, err, step.failure)
		}
		for _, kid := range step.accepted {
			if caller, _, err := v.Caller(t.Context(), netip.Addr{}, tokenBy(t, kid)); caller != "s" || err != nil {
				t.Errorf("%s: a token of %s: %q %v", step.name, kid, caller, err)
			}
		}
		for _, kid := range step.refused {
			if _, _, err := v.Caller(t.Context(), netip.Addr{}, tokenBy(t, kid)); err == nil {
				t.Errorf("%s: a token of %s is accepted", step.name, kid)
			}
		}
	}
}

func TestAFetchOfKeysIsBounded(t *testing.T) {
	elsewhere := httptest.NewTLSServer(http.NotFoundHandler())
	defer elsewhere.Close()
	for name, tc := range map[string]struct {
		serve http.HandlerFunc
		want  string
	}{
		"status": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, "responded 404 Not Found"},
		"page":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "the response is not a JSON Web Key Set"},
		"size":   {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat(" ", 1<<20+1)) }, "larger than 1 MiB"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			_, _ = io.WriteString(w, "{")
		}, "ended early"},
		"loop":     {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) }, "redirected more than 3 times"},
		"scheme":   {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, "redirected from http to https"},
		"no reply": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
	} {
		i := newIssuer(t)
		i.failBy(tc.serve)
		if _, err := bearer.NewSource("", i.URL, nil).Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), i.URL) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

func TestTheResponseSaysHowLongKeysAreFresh(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": 15 * time.Minute, "no-store": 15 * time.Minute, "max-age=no": 15 * time.Minute, "public, max-age=3600": time.Hour,
		"Max-Age=0": time.Minute, "max-age=99999999": 24 * time.Hour, "max-age=99999999999999999999": 15 * time.Minute,
	} {
		i := newIssuer(t)
		i.failBy(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", header)
			_, _ = io.WriteString(w, `{"keys": [`+ed+`]}`)
		})
		if fresh, err := bearer.NewSource("", i.URL, nil).Fetch(t.Context()); err != nil || fresh != want {
			t.Errorf("%q: %v %v, want %v", header, fresh, err, want)
		}
	}
}

func TestATokenOfANewKeyIsAcceptedAtOnce(t *testing.T) {
	i := newIssuer(t, "one")
	s := bearer.NewSource("", i.URL, nil)
	if _, err := s.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	told, v := follow(t, s), verifierOf(s)
	i.rotate("one", "two")
	token := tokenBy(t, "two")
	eventually(t, func() bool { // a source is followed, or a slow fetch has ended
		_, _, err := v.Caller(t.Context(), netip.Addr{}, token)
		return err == nil
	})
	if f := until(t, told, func(bearer.Fetched) bool { return true }); f.Keys != 2 || f.Err != nil {
		t.Errorf("told: %+v", f)
	}
	before := i.fetches.Load()
	var all sync.WaitGroup
	for n := range 500 {
		all.Go(func() {
			if _, _, err := v.Caller(t.Context(), netip.Addr{}, tokenBy(t, fmt.Sprint("forged", n))); err == nil {
				t.Error("a forged token is accepted")
			}
		})
	}
	all.Wait()
	if n := i.fetches.Load() - before; n > 1 {
		t.Errorf("500 forged tokens have made %d fetches", n)
	}
}

func TestALossOfTheURLIsToldOnce(t *testing.T) {
	i := newIssuer(t, "one")
	i.failBy(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	s := bearer.NewSource("", i.URL, nil)
	told := follow(t, s)
	until(t, told, func(f bearer.Fetched) bool { return f.Err != nil && f.Keys == 0 && f.At.IsZero() })
	for i.fetches.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	i.failBy(nil)
	if f := until(t, told, func(bearer.Fetched) bool { return true }); f.Err != nil || f.Keys != 1 || f.At.IsZero() {
		t.Errorf("told: %+v", f)
	}
}

func eventually(t *testing.T, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within a minute")
		}
	}
}
