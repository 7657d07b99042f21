// Package wiretest has what tests of the wire need: a network in memory that works on synctest's time, builders of
// frames, and the recorded conversations with stock peers.
package wiretest

import (
	"testing"

	"github.com/easymicro/easymicro/wire"
)

// Request is a request frame.
func Request(seq uint64, service, method string, c wire.Codec, payload []byte) *wire.Frame {
	return &wire.Frame{Seq: seq, Service: service, Method: method, Codec: c, Payload: payload}
}

// OneWay is a request that gets no response.
func OneWay(seq uint64, service, method string, c wire.Codec, payload []byte) *wire.Frame {
	f := Request(seq, service, method, c, payload)
	f.OneWay = true
	return f
}

// Heartbeat is a heartbeat request.
func Heartbeat(seq uint64) *wire.Frame { return &wire.Frame{Heartbeat: true, Seq: seq} }

// With is f with a pair of metadata more.
func With(f *wire.Frame, key, value string) *wire.Frame {
	f.Metadata.Set(key, value)
	return f
}

// Bytes are the frames, one after the other.
func Bytes(frames ...*wire.Frame) []byte {
	var b []byte
	for _, f := range frames {
		b = wire.AppendFrame(b, f)
	}
	return b
}

// Peer is the far side of a connection, frame by frame. Each step that fails ends the test.
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

// NewPeer is a peer on c, which is closed when the test ends.
func NewPeer(t testing.TB, c Conn) *Peer {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	return &Peer{t: t, Conn: c, in: wire.NewReader(c, wire.Limits{})}
}

// Send writes frames, in one write.
func (p *Peer) Send(frames ...*wire.Frame) {
	p.t.Helper()
	if _, err := p.Write(Bytes(frames...)); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// Greet answers the heartbeat by which a client makes sure that there is a server before it calls, as stock servers do: it
// goes back as it came.
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

// TryReceive reads one frame, or tells why there is none.
func (p *Peer) TryReceive() (*wire.Frame, error) {
	f := new(wire.Frame)
	err := p.in.Read(f)
	return f, err
}
