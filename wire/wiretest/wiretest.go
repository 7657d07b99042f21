// Package wiretest has helpers for tests of the wire: an in-memory network that works with synctest, constructors of frames,
// and recorded conversations of stock peers.
package wiretest

import (
	"errors"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// Request returns a request.
func Request(seq uint64, service, method string, c wire.Codec, payload []byte) *wire.Frame {
	return &wire.Frame{Seq: seq, Service: service, Method: method, Codec: c, Payload: payload}
}

// OneWay returns a one-way request.
func OneWay(seq uint64, service, method string, c wire.Codec, payload []byte) *wire.Frame {
	f := Request(seq, service, method, c, payload)
	f.OneWay = true
	return f
}

// Heartbeat returns a heartbeat request.
func Heartbeat(seq uint64) *wire.Frame { return &wire.Frame{Heartbeat: true, Seq: seq} }

// With sets a metadata pair of f and returns f.
func With(f *wire.Frame, key, value string) *wire.Frame {
	f.Metadata.Set(key, value)
	return f
}

// Bytes returns the encoding of the frames.
func Bytes(frames ...*wire.Frame) []byte {
	var b []byte
	for _, f := range frames {
		b = wire.AppendFrame(b, f)
	}
	return b
}

// Peer is one end of a connection that sends and receives single frames. A failure ends the test.
type Peer struct {
	t testing.TB
	Conn
	in *wire.Reader
}

// Conn is the part of a net.Conn that a Peer uses.
type Conn interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	Close() error
}

// NewPeer returns a Peer on c, which it closes when the test ends.
func NewPeer(t testing.TB, c Conn) *Peer {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	return &Peer{t: t, Conn: c, in: wire.NewReader(c, wire.Limits{})}
}

// Send writes frames in one write.
func (p *Peer) Send(frames ...*wire.Frame) {
	p.t.Helper()
	if _, err := p.Write(Bytes(frames...)); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// Greet receives the heartbeat that a client sends before its first call, and echoes it as stock servers do.
func (p *Peer) Greet() {
	p.t.Helper()
	f := p.Receive()
	if !f.Heartbeat || f.Type != wire.Request {
		p.t.Fatalf("got %+v, want a heartbeat first", f)
	}
	f.Type = wire.Response
	p.Send(f)
}

// Receive reads one frame.
func (p *Peer) Receive() *wire.Frame {
	p.t.Helper()
	f := new(wire.Frame)
	if err := p.in.Read(f); err != nil {
		p.t.Fatalf("receive: %v", err)
	}
	return f
}

// TryReceive is like Receive, but returns the error.
func (p *Peer) TryReceive() (*wire.Frame, error) {
	f := new(wire.Frame)
	err := p.in.Read(f)
	return f, err
}

// Within waits until is returns true, and fails the test after limit. Use it for events that cannot be waited for otherwise.
func Within(t testing.TB, limit time.Duration, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(limit)
	for !is() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// WantError fails the test unless err has the given code and reason, and returns it.
func WantError(t testing.TB, err error, c code.Code, reason string) *code.Error {
	t.Helper()
	var e *code.Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want %s/%s", err, c, reason)
	}
	if e.Code != c || e.Reason != reason {
		t.Fatalf("got %s/%s (%v), want %s/%s", e.Code, e.Reason, err, c, reason)
	}
	return e
}
