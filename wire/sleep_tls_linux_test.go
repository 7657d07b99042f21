package wire_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/mux"
)

// held holds writes back, so that several TLS records arrive together.
type held struct {
	net.Conn
	hold bool
	b    []byte
}

func (h *held) Write(b []byte) (int, error) {
	if !h.hold {
		return h.Conn.Write(b)
	}
	h.b = append(h.b, b...)
	return len(b), nil
}

func TestTLSBehindMuxLosesNoCallAfterAHeartbeat(t *testing.T) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s := wire.NewServer(wire.ServerOptions{Handler: wire.HandlerFunc(func(_ context.Context, req, res *wire.Frame) error {
		res.Payload = append(res.Payload[:0], req.Payload...)
		return nil
	})})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := mux.New(ln, mux.Options{Open: func(c net.Conn) (net.Conn, error) { return tls.Server(c, cfg), nil }})
	route := m.Match(func(b byte) bool { return b == wire.Magic })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { _ = m.Serve(ctx) }()
	served := make(chan struct{})
	go func() { defer close(served); _ = s.Serve(ctx, route) }()
	defer func() { cancel(); <-served }()

	raw, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	h := &held{Conn: raw}
	c := tls.Client(h, &tls.Config{InsecureSkipVerify: true})
	in := wire.NewReader(c, wire.Limits{})
	var f wire.Frame
	call := wire.AppendFrame(nil, &wire.Frame{Seq: 7, Service: "S", Method: "M", Payload: []byte("x")})
	beat := wire.AppendFrame(nil, &wire.Frame{Heartbeat: true, Seq: 1})
	read := func() {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if err := in.Read(&f); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = c.Write(call)
	read()
	time.Sleep(4 * time.Second) // asleep
	h.hold = true
	_, _ = c.Write(beat)
	_, _ = c.Write(call)
	_, _ = raw.Write(h.b)
	h.hold = false
	read()
	read()
}
