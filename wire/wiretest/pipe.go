package wiretest

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeBytes is the buffer size of each direction.
const pipeBytes = 64 << 10

// Pipe returns the ends of an in-memory connection. Unlike net.Pipe it is buffered, as a socket is, and has CloseWrite.
func Pipe() (a, b net.Conn) { return pipe(addr(1), addr(2)) }

func pipe(la, ra net.Addr) (a, b *pipeConn) {
	there, back := newStream(), newStream()
	return &pipeConn{r: back, w: there, local: la, remote: ra}, &pipeConn{r: there, w: back, local: ra, remote: la}
}

func addr(port int) net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port} }

type pipeConn struct {
	r, w          *stream
	local, remote net.Addr
}

func (c *pipeConn) Read(b []byte) (int, error)  { return c.r.read(b) }
func (c *pipeConn) Write(b []byte) (int, error) { return c.w.write(b) }
func (c *pipeConn) LocalAddr() net.Addr         { return c.local }
func (c *pipeConn) RemoteAddr() net.Addr        { return c.remote }

func (c *pipeConn) Close() error {
	c.r.closeRead()
	c.w.closeWrite(net.ErrClosed)
	return nil
}

// CloseWrite closes the sending direction: the peer reads io.EOF after what was written.
func (c *pipeConn) CloseWrite() error {
	c.w.closeWrite(io.ErrClosedPipe)
	return nil
}

func (c *pipeConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.r.setDeadline(&c.r.reading, t)
	return nil
}

func (c *pipeConn) SetWriteDeadline(t time.Time) error {
	c.w.setDeadline(&c.w.writing, t)
	return nil
}

// stream is one direction of a connection.
type stream struct {
	mu       sync.Mutex
	changed  *sync.Cond
	data     []byte
	noReader bool
	noWriter error // error of further writes
	reading  deadline
	writing  deadline
}

type deadline struct {
	timer  *time.Timer
	passed bool
}

func newStream() *stream {
	s := new(stream)
	s.changed = sync.NewCond(&s.mu)
	return s
}

func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.noReader:
			return 0, net.ErrClosed
		case s.reading.passed:
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case len(s.data) > 0:
			n := copy(b, s.data)
			s.data = append(s.data[:0], s.data[n:]...)
			s.changed.Broadcast()
			return n, nil
		case s.noWriter != nil:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (s *stream) write(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.noWriter != nil:
			return n, s.noWriter
		case s.noReader:
			return n, io.ErrClosedPipe
		case s.writing.passed:
			return n, os.ErrDeadlineExceeded
		case len(b) == n:
			return n, nil
		}
		if room := pipeBytes - len(s.data); room > 0 {
			part := b[n:min(len(b), n+room)]
			s.data = append(s.data, part...)
			n += len(part)
			s.changed.Broadcast()
			continue
		}
		s.changed.Wait()
	}
}

func (s *stream) closeRead() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noReader, s.data = true, nil
	s.reading.stop()
	s.changed.Broadcast()
}

func (s *stream) closeWrite(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noWriter = err
	s.writing.stop()
	s.changed.Broadcast()
}

func (s *stream) setDeadline(d *deadline, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d.stop()
	d.passed = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.passed = true
		s.changed.Broadcast()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(left, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if d.timer == timer {
			d.passed = true
			s.changed.Broadcast()
		}
	})
	d.timer = timer
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
