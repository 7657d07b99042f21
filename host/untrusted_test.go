package host_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
)

const untrustedManifest = `
listeners: [{name: main, address: "127.0.0.1:0", tls: {certFile: host.pem, keyFile: host.key, clientCAFile: ca.pem, clientAuth: require}}]
services: [{name: Arith, handler: test.arith}, {name: Gate, handler: test.gate}]
`

// kept is a client that keeps its connections: one of rpcx, one of HTTP/1.1 and one of HTTP/2.
type kept struct {
	*secured
	rpcx         *wire.Conn
	http1, http2 *http.Client
}

func (s *secured) keep(t *testing.T, c *tls.Config) *kept {
	t.Helper()
	nc, err := (&tls.Dialer{Config: c}).DialContext(t.Context(), "tcp", s.Address)
	must(t, err)
	k := &kept{s, wire.NewConn(nc, wire.ConnOptions{}), web(c, false), web(c, true)}
	t.Cleanup(func() {
		_ = k.rpcx.Close()
		k.http1.CloseIdleConnections()
		k.http2.CloseIdleConnections()
	})
	if reused := k.calls(t); reused != [3]bool{true, false, false} {
		t.Fatal(reused)
	}
	if reused := k.calls(t); reused != [3]bool{true, true, true} {
		t.Fatalf("connections are not kept: %v", reused)
	}
	return k
}

// calls makes a call over each connection, and reports which were open before. Calls fail with a certificate that the host refuses.
func (k *kept) calls(t *testing.T) (reused [3]bool) {
	t.Helper()
	var r reply
	reused[0] = hosttest.CallJSON(t.Context(), k.rpcx, "Arith", "Mul", args{6, 7}, &r) == nil
	for i, client := range []*http.Client{k.http1, k.http2} {
		trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused[i+1] = c.Reused }}
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodPost, "https://"+k.Address+"/Arith/Mul",
			strings.NewReader(`{"A":6,"B":7}`))
		must(t, err)
		res, err := client.Do(req)
		if err != nil {
			reused[i+1] = false
			continue
		}
		_, err = io.Copy(io.Discard, res.Body) // otherwise the connection is not used again
		must(t, err)
		_ = res.Body.Close()
	}
	return reused
}

func startUntrusted(t *testing.T, cas func(a, b *hosttest.Authority) string) (s *secured, other *hosttest.Authority, gate *gate) {
	t.Helper()
	ca, other := hosttest.NewAuthority(t), hosttest.NewAuthority(t)
	cert, key := ca.Issue(t, "host.internal")
	p := newPlant(t)
	h := hosttest.Start(t, untrustedManifest, hosttest.Options{Registry: p.reg, Files: map[string]string{
		"ca.pem": cas(ca, other), "host.pem": cert, "host.key": key,
	}})
	return &secured{h, ca}, other, p.gate
}

func TestConnectionsEndWhenTheirCAIsRemoved(t *testing.T) {
	s, other, gate := startUntrusted(t, func(a, b *hosttest.Authority) string { return a.PEM + b.PEM })
	stays, leaves := s.keep(t, s.client(t, other, "stays")), s.keep(t, s.client(t, s.ca, "leaves"))
	answered := make(chan error, 1)
	busy := s.keep(t, s.client(t, s.ca, "busy"))
	go func() {
		var r reply
		answered <- hosttest.CallJSON(context.WithoutCancel(t.Context()), busy.rpcx, "Gate", "Wait", args{}, &r)
	}()
	gate.come(t)
	s.Write("ca.pem", other.PEM)
	must(t, s.Revision().Problems.Err())
	receive(t, leaves.rpcx.Done(), "the connection over rpcx has not ended")
	eventually(t, "only those of stays are open, and the one with the call", func() bool { return s.connections(t) == 3+1 })
	gate.open()
	must(t, receive(t, answered, "the call in flight is not answered"))
	receive(t, busy.rpcx.Done(), "the connection has not ended after its call")
	if reused := stays.calls(t); reused != [3]bool{true, true, true} {
		t.Errorf("connections of the CA that stays have ended: %v", reused)
	}
	if reused := leaves.calls(t); reused != [3]bool{} {
		t.Errorf("connections of the CA that was removed are open: %v", reused)
	}
}

// connections returns the number of open connections.
func (s *secured) connections(t *testing.T) int {
	t.Helper()
	status, err := s.Admin.Status(t.Context())
	must(t, err)
	return status.Listeners[0].Connections
}

func TestConnectionsOfOperatorsEndWhenTheirCAIsRemoved(t *testing.T) {
	ca, other := hosttest.NewAuthority(t), hosttest.NewAuthority(t)
	cert, key := ca.Issue(t, "host.internal")
	h := hosttest.Start(t, untrustedManifest+"admin: {tls: {certFile: host.pem, keyFile: host.key, clientCAFile: admin.pem, clientAuth: require}}\n",
		hosttest.Options{Registry: newPlant(t).reg, Files: map[string]string{
			"ca.pem": ca.PEM, "admin.pem": ca.PEM + other.PEM, "host.pem": cert, "host.key": key,
		}})
	s := &secured{h, ca}
	get := func(c *http.Client) error {
		res, err := c.Get("https://" + h.AdminAddr().String() + "/livez")
		if err != nil {
			return err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	stays, leaves := web(s.client(t, other, "stays"), false), web(s.client(t, ca, "leaves"), false)
	defer stays.CloseIdleConnections()
	defer leaves.CloseIdleConnections()
	must(t, get(stays))
	must(t, get(leaves))
	silent, err := (&tls.Dialer{Config: s.client(t, ca, "silent")}).DialContext(t.Context(), "tcp", h.AdminAddr().String())
	must(t, err)
	defer silent.Close()
	s.Write("admin.pem", other.PEM)
	must(t, s.Revision().Problems.Err())
	_, _ = io.WriteString(silent, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if response, _ := io.ReadAll(silent); len(response) > 0 {
		t.Errorf("a client that had not sent a request yet is served: %s", response)
	}
	eventually(t, "a client of the CA that was removed is refused", func() bool { return get(leaves) != nil })
	must(t, get(stays))
}

// All clients of a listener stay connected while its CAs change in a way that does not concern them.
func TestCallersNoticeNothingOfANewCA(t *testing.T) {
	s, other, _ := startUntrusted(t, func(a, _ *hosttest.Authority) string { return a.PEM })
	k := s.keep(t, s.client(t, s.ca, "client"))
	s.Write("ca.pem", other.PEM+s.ca.PEM)
	must(t, s.Revision().Problems.Err())
	_, err := s.mul(t.Context(), s.client(t, other, "new"))
	must(t, err)
	for range 3 {
		if reused := k.calls(t); reused != [3]bool{true, true, true} {
			t.Fatal(fmt.Sprint("a connection has ended: ", reused))
		}
	}
}
