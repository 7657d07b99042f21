package mux

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// memory is a connection that a peer has sent all of its bytes on.
type memory struct {
	net.Conn
	in     *bytes.Reader
	closed bool
}

func (c *memory) Read(b []byte) (int, error)      { return c.in.Read(b) }
func (c *memory) SetReadDeadline(time.Time) error { return nil }
func (c *memory) RemoteAddr() net.Addr            { return &net.TCPAddr{} }
func (c *memory) Close() error {
	c.closed = true
	return nil
}

// FuzzSniff: whatever a peer sends first, its connection is accepted by exactly one listener, intact, or closed.
func FuzzSniff(f *testing.F) {
	for _, seed := range []string{"", "\x08\x00", "GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/2.0", "\x16\x03\x01", "\x00", "\xff\x08", "PROXY TCP4 ", "PROX", "PUT / HTTP/1.1", proxyV2, proxyV2[:11]} {
		f.Add([]byte(seed))
	}
	isEight := func(b byte) bool { return b == 8 }
	isLetter := func(b byte) bool { return 'A' <= b && b <= 'Z' }
	f.Fuzz(func(t *testing.T, sent []byte) {
		m := New(nil, Options{})
		eight, letter := m.Match(isEight).(*route), m.Match(isLetter).(*route)
		eight.conns, letter.conns = make(chan net.Conn, 1), make(chan net.Conn, 1)
		c := &memory{in: bytes.NewReader(sent)}
		m.sniff(&conn{Conn: c, mux: m})

		var want *route
		switch {
		case len(sent) == 0:
		case bytes.HasPrefix(sent, []byte(proxyV1)), bytes.HasPrefix(sent, []byte(proxyV2)):
		case isEight(sent[0]):
			want = eight
		case isLetter(sent[0]):
			want = letter
		}
		for _, r := range []*route{eight, letter} {
			select {
			case got := <-r.conns:
				if b, err := io.ReadAll(got); r != want || err != nil || !bytes.Equal(b, sent) {
					t.Errorf("got %q, %v; want %q", b, err, sent)
				}
			default:
				if r == want {
					t.Error("it reached no listener")
				}
			}
		}
		if c.closed != (want == nil) {
			t.Errorf("closed: %v", c.closed)
		}
	})
}
