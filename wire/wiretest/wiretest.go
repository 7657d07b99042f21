// Package wiretest helps to test the wire: a network in memory that works with synctest's time, builders of frames, and the
// recorded conversations with stock peers.
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

// OneWay returns a request without a response.
func OneWay(seq uint64, service, method string, c wire.Codec, payload []byte) *wire.Frame {
	f := Request(seq, service, method, c, payload)
	f.OneWay = true
	return f
}

// Heartbeat returns a heartbeat request.
func Heartbeat(seq uint64) *wire.Frame { return &wire.Frame{Heartbeat: true, Seq: seq} }

// With adds a pair of metadata to f and returns it.
func With(f *wire.Frame, key, value string) *wire.Frame {
	f.Metadata.Set(key, value)
	return f
}

// Bytes returns the frames as bytes.
func Bytes(frames ...*wire.Frame) []byte {
	var b []byte
	for _, f := range frames {
		b = wire.AppendFrame(b, f)
	}
	return b
}

// Peer is the far side of a connection, frame by frame. A step that fails ends the test.
type Peer struct {
	t testing.TB
	Conn
	in *wire.Reader
}

// Conn is what a Peer needs of a connection.
type Conn interface {
	Read([]byte) (int, error)
	Write([]byte) (int, error)
	Close() error
}

// NewPeer returns a Peer on c, which is closed when the test ends.
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

// Greet answers the heartbeat by which a client checks for a server before it calls, as stock servers do: by sending it
// back.
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

// TryReceive reads one frame, or returns why there is none.
func (p *Peer) TryReceive() (*wire.Frame, error) {
	f := new(wire.Frame)
	err := p.in.Read(f)
	return f, err
}

// Within waits until is returns true, and ends the test at the limit. It is for events outside of the test.
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

// WantError ends the test unless err has that code and reason, and returns it.
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
