package bearer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var (
	attacker  = netip.MustParseAddr("2001:db8::bad")
	neighbour = netip.MustParseAddr("2001:db8::bad:1") // of the same network
	other     = netip.MustParseAddr("192.0.2.1")
)

// issuer signs tokens for a verifier.
type issuer struct{ key *ecdsa.PrivateKey }

func newIssuer(t *testing.T) issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issuer{key}
}

func (i issuer) verifier(t *testing.T) *Verifier {
	t.Helper()
	point, err := i.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	half, b64 := (len(point)-1)/2, base64.RawURLEncoding.EncodeToString
	keys, err := ParseKeys(fmt.Appendf(nil, `{"keys": [{"kty": "EC", "kid": "a", "crv": "P-521", "x": %q, "y": %q}]}`, b64(point[1:1+half]), b64(point[1+half:])))
	if err != nil {
		t.Fatal(err)
	}
	return New(keys, nil, Options{Issuer: "i", Audience: "a", CallerClaim: "sub"})
}

func (i issuer) token(t *testing.T, sub string, lasts time.Duration) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES512, jwt.MapClaims{"iss": "i", "aud": "a", "sub": sub, "exp": time.Now().Add(lasts).Unix()})
	token.Header["kid"] = "a"
	text, err := token.SignedString(i.key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// forge returns a token with the signature of another one.
func (i issuer) forge(t *testing.T, lasts time.Duration) string {
	t.Helper()
	claims, signature := i.token(t, "admin", lasts), i.token(t, "web", lasts)
	return claims[:strings.LastIndex(claims, ".")] + signature[strings.LastIndex(signature, "."):]
}

func TestManyForgedTokensOfAPeerAreNotVerified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newIssuer(t)
		v, forged, first, second := i.verifier(t), i.forge(t, time.Hour), i.token(t, "first", time.Hour), i.token(t, "second", time.Hour)
		ask := func(peer netip.Addr, token, caller, want string) {
			t.Helper()
			switch got, _, err := v.Caller(t.Context(), peer, token); {
			case want == "" && (err != nil || got != caller), want != "" && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("%q %v, want %q %q", got, err, caller, want)
			}
		}
		ask(attacker, first, "first", "")
		for range failureBurst {
			ask(attacker, forged, "", "signature of the token is invalid")
		}
		ask(attacker, forged, "", "too many tokens of this peer were rejected")
		ask(neighbour, second, "", "too many tokens of this peer were rejected")
		ask(attacker, first, "first", "") // it was verified before
		ask(other, second, "second", "")
		_, _, err := v.Caller(t.Context(), attacker, forged)
		busy, ok := errors.AsType[*BusyError](err)
		if !ok || busy.RetryAfter <= 0 || busy.RetryAfter > failureEvery {
			t.Fatalf("%v", err)
		}
		time.Sleep(busy.RetryAfter)
		ask(attacker, forged, "", "signature of the token is invalid")
		ask(attacker, forged, "", "too many tokens of this peer were rejected")
		time.Sleep(2 * time.Second)
		ask(neighbour, i.token(t, "third", time.Hour), "third", "")
	})
}

func TestTokensThatCannotBeAcceptedAreNotVerified(t *testing.T) {
	i := newIssuer(t)
	v, expired := i.verifier(t), i.forge(t, -time.Hour)
	for range 2 * failureBurst {
		if _, _, err := v.Caller(t.Context(), attacker, expired); err == nil || !strings.Contains(err.Error(), "the token expired at ") {
			t.Fatal(err)
		}
	}
	if got, _, err := v.Caller(t.Context(), attacker, i.token(t, "web", time.Hour)); got != "web" || err != nil {
		t.Errorf("%q %v", got, err)
	}
}

func TestVerificationsAtATimeAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEffort()
		slots := int32(cap(e.slots))
		release := make(chan struct{})
		var running, most, refused, gaveUp atomic.Int32
		ctx, cancel := context.WithCancel(t.Context())
		for n := range maxWaiting + int(slots) + 10 {
			within := t.Context()
			if n == int(slots) { // the first that waits
				within = ctx
			}
			go func() {
				err := e.spend(within, other, func() error {
					most.Store(max(most.Load(), running.Add(1)))
					<-release
					running.Add(-1)
					return nil
				})
				if busy, ok := errors.AsType[*BusyError](err); ok && busy.RetryAfter > 0 {
					refused.Add(1)
				} else if ok {
					gaveUp.Add(1)
				}
			}()
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		if running.Load() != slots || refused.Load() != 10 || gaveUp.Load() != 1 {
			t.Errorf("%d of %d run, %d are refused, %d have given up", running.Load(), slots, refused.Load(), gaveUp.Load())
		}
		close(release)
		synctest.Wait()
		if most.Load() != slots || e.waiting.Load() != 0 || len(e.slots) != 0 {
			t.Errorf("%d ran at a time, %d still wait", most.Load(), e.waiting.Load())
		}
	})
}

func TestTheFailuresOfManyPeersTakeBoundedMemory(t *testing.T) {
	e := newEffort()
	a := netip.MustParseAddr("10.0.0.0")
	for range 3 * maxPeers {
		a = a.Next()
		e.failed(a)
	}
	if len(e.peers) != maxPeers {
		t.Errorf("%d peers", len(e.peers))
	}
}
