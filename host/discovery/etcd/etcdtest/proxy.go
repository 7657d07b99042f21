package etcdtest

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire/wiretest"
)

// Proxied is a TCP proxy whose connections can be cut. It is safe for concurrent use.
type Proxied struct {
	t       testing.TB
	target  string
	address string
	all     sync.WaitGroup

	mu           sync.Mutex
	ln           net.Listener    // nil while not listening
	silent       chan struct{}   // closed while bytes are passed on
	lossy        bool            // bytes held back now are dropped
	dead         []chan struct{} // one for each connection that lost bytes; closed at the end
	conns        map[net.Conn]bool
	tooManyPings int
	closed       bool
}

// Proxy listens on loopback and passes all bytes to target and back, until the test ends.
func Proxy(t testing.TB, target string) *Proxied {
	t.Helper()
	p := &Proxied{t: t, target: target, address: wiretest.Address(t), conns: map[net.Conn]bool{}, silent: make(chan struct{})}
	close(p.silent)
	p.Heal()
	t.Cleanup(p.close)
	return p
}

// URL returns the URL of the proxy.
func (p *Proxied) URL() string { return "http://" + p.address }

// Address returns the host:port of URL.
func (p *Proxied) Address() string { return p.address }

// Cut breaks all connections and refuses new ones.
func (p *Proxied) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ln != nil {
		_ = p.ln.Close()
		p.ln = nil
	}
	for c := range p.conns {
		_ = c.Close()
	}
}

// Mute keeps connections open but holds back all bytes until Heal.
func (p *Proxied) Mute() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = make(chan struct{})
}

// Swallow is like Mute, but the bytes are dropped: connections that lost some stay silent after Heal.
func (p *Proxied) Swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent, p.lossy = make(chan struct{}), true
}

// TooManyPings returns how often the target, without TLS, closed a connection because the client pinged too often.
func (p *Proxied) TooManyPings() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tooManyPings
}

// Heal undoes Cut, Mute and Swallow.
func (p *Proxied) Heal() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lossy {
		p.dead = append(p.dead, p.silent)
		p.silent, p.lossy = make(chan struct{}), false
	}
	select {
	case <-p.silent:
	default:
		close(p.silent)
	}
	if p.ln != nil || p.closed {
		return
	}
	ln, err := net.Listen("tcp", p.address) //nolint:noctx // it is closed with the test
	for end := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		ln, err = net.Listen("tcp", p.address) //nolint:noctx // another connection took the port meanwhile
	}
	if err != nil {
		p.t.Errorf("listen at the old address again: %v", err)
		return
	}
	p.ln = ln
	p.all.Go(func() { p.serve(ln) })
}

func (p *Proxied) close() {
	p.Cut()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Heal()
	for _, silent := range p.dead {
		close(silent)
	}
	p.all.Wait()
}

func (p *Proxied) serve(ln net.Listener) {
	for {
		in, err := ln.Accept()
		if err != nil {
			return
		}
		p.all.Go(func() { p.pass(in) })
	}
}

func (p *Proxied) pass(in net.Conn) {
	out, err := net.Dial("tcp", p.target) //nolint:noctx // loopback
	if err != nil {
		_ = in.Close()
		return
	}
	if !p.keep(in, out) {
		return
	}
	var both sync.WaitGroup
	copyAll := func(to net.Conn, from io.Reader) {
		_, _ = io.Copy(to, &held{from, p})
		_ = in.Close()
		_ = out.Close()
	}
	both.Go(func() { copyAll(out, in) })
	both.Go(func() { copyAll(in, &pingCounter{Reader: out, p: p}) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, in)
	delete(p.conns, out)
	p.mu.Unlock()
}

func (p *Proxied) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.ln == nil {
			_ = c.Close()
			continue
		}
		p.conns[c] = true
	}
	return p.ln != nil
}

// held holds bytes back while the proxy is muted.
type held struct {
	io.Reader
	p *Proxied
}

func (h *held) Read(b []byte) (int, error) {
	n, err := h.Reader.Read(b)
	h.p.mu.Lock()
	silent := h.p.silent
	h.p.mu.Unlock()
	<-silent
	return n, err
}

// tooOften is the debug data of the GOAWAY frame sent to a client that pings too often.
const tooOften = "too_many_pings"

// pingCounter counts these frames in the output of a target.
type pingCounter struct {
	io.Reader
	p    *Proxied
	tail []byte // which may be the beginning of tooOften
}

func (c *pingCounter) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	seen := append(c.tail, b[:n]...) //nolint:gocritic // its end is the next tail
	if found := bytes.Count(seen, []byte(tooOften)); found > 0 {
		c.p.mu.Lock()
		c.p.tooManyPings += found
		c.p.mu.Unlock()
	}
	c.tail = append(c.tail[:0], seen[max(0, len(seen)-len(tooOften)+1):]...)
	return n, err
}
