package mux_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire/mux"
)

const halfHello = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

// secret is the TLS of a Mux; its clients verify nothing.
func secret(t *testing.T) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// shake makes the handshake of a client.
func (r *rig) shake(t *testing.T) *tls.Conn {
	t.Helper()
	c := tls.Client(r.dial(t, ""), &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheFirstByteAfterTheHandshakeDecides(t *testing.T) {
	r := start(t, mux.Options{TLS: secret(t)})
	for _, tc := range []struct {
		sent string
		ln   net.Listener
	}{{"\x08\x00frame", r.eight}, {"GET / HTTP/1.1\r\n", r.alpha}} {
		near := r.shake(t)
		if _, err := io.WriteString(near, tc.sent); err != nil {
			t.Fatal(err)
		}
		far := accept(t, tc.ln)
		if s, ok := far.(interface{ ConnectionState() tls.ConnectionState }); !ok || !s.ConnectionState().HandshakeComplete {
			t.Errorf("%T does not look like a connection of TLS", far)
		}
		if err := near.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(far); err != nil || string(got) != tc.sent {
			t.Errorf("got %q, %v; want %q", got, err, tc.sent)
		}
		_ = far.Close()
	}
}

func TestConnectionsWithoutTLSAreNotWrapped(t *testing.T) {
	r := start(t, mux.Options{})
	r.dial(t, "\x08")
	far := accept(t, r.eight)
	defer far.Close()
	if _, ok := far.(interface{ ConnectionState() tls.ConnectionState }); ok {
		t.Errorf("%T looks like a connection of TLS", far)
	}
}

func TestAHandshakeHasFiveSecondsAndTheFirstByteAfterItTwoMinutes(t *testing.T) {
	conf := secret(t)
	synctest.Test(t, func(t *testing.T) {
		conf.Time = func() time.Time { return time.Now() }
		r := start(t, mux.Options{TLS: conf})
		begin := time.Now()
		done := r.shake(t)
		wantClosed(t, r.dial(t, ""))
		wantClosed(t, r.dial(t, halfHello))
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("two handshakes that do not end are cut off after %v, one after the other", took)
		}
		_, _ = io.ReadAll(done)
		if took := time.Since(begin); took != 2*time.Minute {
			t.Errorf("a peer that is silent after its handshake is cut off after %v", took)
		}
		synctest.Wait()
		if silent, late := r.rejects.count(mux.RejectSilent), r.rejects.count(mux.RejectHandshakeTimeout); silent != 2 || late != 1 {
			t.Errorf("%d silent, %d handshakes timed out", silent, late)
		}
		_ = r.stop()
	})
}

func TestBeyondATenthTheOldestHandshakesHaveASecond(t *testing.T) {
	conf := secret(t)
	synctest.Test(t, func(t *testing.T) {
		conf.Time = func() time.Time { return time.Now() }
		r := start(t, mux.Options{MaxConnections: 30, TLS: conf})
		for range 10 {
			r.dial(t, halfHello)
		}
		_, _ = io.WriteString(r.shake(t), "\x08")
		_ = accept(t, r.eight).Close()
		time.Sleep(time.Second)
		synctest.Wait()
		if n := r.rejects.count(mux.RejectHandshakes); n < 7 {
			t.Errorf("%d handshakes were closed", n)
		}
		_ = r.stop()
	})
}

// slow is a connection with a long way to the peer.
type slow struct{ net.Conn }

func (s slow) Write(b []byte) (int, error) {
	time.Sleep(100 * time.Millisecond)
	return s.Conn.Write(b)
}

// As after an outage, when all clients connect again.
func TestManyHandshakesAtOnceSucceed(t *testing.T) {
	conf := secret(t)
	synctest.Test(t, func(t *testing.T) {
		conf.Time = func() time.Time { return time.Now() }
		r := start(t, mux.Options{MaxConnections: 100, TLS: conf})
		var clients sync.WaitGroup
		for range 60 {
			far := slow{r.dial(t, "")}
			clients.Go(func() {
				if err := tls.Client(far, &tls.Config{InsecureSkipVerify: true}).Handshake(); err != nil {
					t.Error(err)
				}
			})
		}
		clients.Wait()
		_ = r.stop()
	})
}

func TestPeersOfTheWrongKindAreAnswered(t *testing.T) {
	for _, tc := range []struct {
		conf         *tls.Config
		sent, reason string
	}{
		{secret(t), "GET / HTTP/1.1\r\n\r\n", mux.RejectPlain},
		{secret(t), "\x08\x00frame", mux.RejectPlain},
		{nil, halfHello, mux.RejectTLS},
	} {
		r := start(t, mux.Options{TLS: tc.conf, Answer: func(c net.Conn, reason string) {
			sent := make([]byte, len(tc.sent))
			if _, err := io.ReadFull(c, sent); err != nil || string(sent) != tc.sent {
				t.Errorf("got %q, %v; want %q", sent, err, tc.sent)
			}
			_, _ = io.WriteString(c, reason)
		}})
		got, err := io.ReadAll(r.dial(t, tc.sent))
		if _ = r.stop(); err != nil || string(got) != tc.reason || r.rejects.count(tc.reason) != 1 {
			t.Errorf("%q: got %q, %v, %d rejects; want %s", tc.sent, got, err, r.rejects.count(tc.reason), tc.reason)
		}
	}
}
