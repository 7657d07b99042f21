package listen

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener of connections in memory, which hold nothing that the peer has not read.
type pipes struct {
	net.Listener
	conns chan net.Conn
}

func (p pipes) Accept() (net.Conn, error) { return <-p.conns, nil }

func TestAPeerThatReadsNothingHoldsUpNoOperator(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pair := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	synctest.Test(t, func(t *testing.T) {
		in := pipes{conns: make(chan net.Conn, 2)}
		a := newOutages(slog.New(slog.DiscardHandler), func(_, _ string) {})
		defer a.close()
		l := newAdminListener(in, "admin", &Listeners{outages: a, held: released()})
		l.max = 1
		l.tls.Store(&encryption{config: &tls.Config{Certificates: []tls.Certificate{pair}}})
		near, far := net.Pipe()
		in.conns <- far
		secure, _ := l.Accept()
		shaken := make(chan error, 1)
		go func() { shaken <- tls.Client(near, &tls.Config{InsecureSkipVerify: true}).Handshake() }()
		go func() { _ = secure.(*tls.Conn).Handshake() }()
		if err := <-shaken; err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		in.conns <- far
		_, _ = l.Accept()
		if took := time.Since(began); took != 0 {
			t.Error(took)
		}
	})
}
