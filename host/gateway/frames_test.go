package gateway

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// Frame types that only tests send.
const (
	frameRST      = 0x3
	frameSettings = 0x4
	framePing     = 0x6
	frameLast     = 0x7 // GOAWAY
	frameUpdate   = 0x8
)

func frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// clientPreface returns the preface of an HTTP/2 connection.
func clientPreface() []byte { return append([]byte(preface2), frame(frameSettings, 0, 0)...) }

// get returns the headers of a stream without a body: GET /Arith/Hook, without Huffman coding.
func get(stream uint32) []byte {
	block := []byte{0x82, 0x86, 0x04, 11}
	block = append(block, "/Arith/Hook"...)
	block = append(block, 0x01, 1, 'x')
	return frame(frameHeaders, flagEndHeaders|1, stream, block...)
}

func TestFramesAreParsedHoweverTheirBytesArrive(t *testing.T) {
	all := slicesOf(clientPreface()[len("PRI * HTTP/2.0\r\n"):], get(1), frame(0, 0, 1, make([]byte, 3000)...), frame(frameHeaders, 0, 3, 1, 2),
		frame(frameContinuation, flagEndHeaders, 3, 1), frame(framePing, 0, 0, make([]byte, 8)...))
	for _, size := range []int{1, 2, 9, 100, len(all)} {
		f, count := newFrames(), 0
		for rest := all; len(rest) > 0; {
			n := min(size, len(rest))
			count += f.watch(rest[:n])
			rest = rest[n:]
		}
		if count != 6 || !f.between() || f.began.Load() != 0 {
			t.Errorf("%d at a time: %d frames, between %v, began %d", size, count, f.between(), f.began.Load())
		}
	}
	f := newFrames()
	f.watch(all[:len(clientPreface())-len("PRI * HTTP/2.0\r\n")])
	f.watch(frame(frameHeaders, 0, 1, 1, 2))
	if f.between() || f.began.Load() == 0 {
		t.Error("an incomplete header block is taken for complete")
	}
}

func TestOnlyBytesOfResponsesCount(t *testing.T) {
	all := slicesOf(frame(frameSettings, 0, 0, make([]byte, 6)...), frame(frameHeaders, 0, 1, make([]byte, 20)...),
		frame(frameContinuation, flagEndHeaders, 1, make([]byte, 30)...), frame(framePing, 1, 0, make([]byte, 8)...),
		frame(frameData, 0, 1, make([]byte, 3000)...), frame(frameUpdate, 0, 1, make([]byte, 4)...), frame(frameData, 1, 1),
		frame(frameRST, 0, 3, make([]byte, 4)...))
	for _, size := range []int{1, 2, 9, 100, len(all)} {
		var a answers
		n := 0
		for piece := range slices.Chunk(all, size) {
			n += a.watch(piece)
		}
		if n != 3050 {
			t.Errorf("%d at a time: %d bytes", size, n)
		}
	}
}

// The time of a slow frame does not count against the header block after it.
func TestHeaderBlocksHaveTheirOwnTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFrames()
		f.watch([]byte(preface2)[len("PRI * HTTP/2.0\r\n"):])
		data := frame(0, 0, 1, make([]byte, 100)...)
		f.watch(data[:50])
		time.Sleep(20 * time.Second)
		if f.stalled(time.Now(), 30*time.Second) {
			t.Error("20 s are too long for a frame")
		}
		f.watch(data[50:])
		f.watch(frame(frameHeaders, 0, 1, 1, 2))
		if f.stalled(time.Now(), 30*time.Second) {
			t.Error("headers that have just begun are overdue")
		}
		time.Sleep(6 * time.Second)
		if !f.stalled(time.Now(), 30*time.Second) {
			t.Error("headers have more than 5 s")
		}
	})
}

func slicesOf(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestUselessFramesAreReadSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a allowance
		a.start()
		begin, n := time.Now(), 0
		for time.Since(begin) < 10*time.Second {
			n++
			time.Sleep(a.take(1))
		}
		if most := frameBurst + 10*framesPerSecond; n < most-1 || n > most+1 {
			t.Errorf("%d frames in 10 s, want %d", n, most)
		}
		for range 100_000 { // as many as the responses need
			a.earn(framesPerAnswer * bytesPerFrame)
			if d := a.take(framesPerAnswer - 1); d > time.Second/framesPerSecond {
				t.Fatalf("a peer whose requests are answered waits %s", d)
			}
		}
	})
}

// A peer that leaves frames behind, more than are read in minutes, must not hold its calls that long.
func TestAFloodEndsItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, end := pipeTo(t, &backend{}, Options{}, nil)
		defer end()
		go func() { _, _ = io.Copy(io.Discard, peer) }()
		if _, err := peer.Write(append(clientPreface(), get(1)...)); err != nil {
			t.Fatal(err)
		}
		pings := bytes.Repeat(frame(framePing, 0, 0, make([]byte, 8)...), 100)
		for range 9 { // no flood: a burst
			if _, err := peer.Write(pings); err != nil {
				t.Fatal(err)
			}
		}
		for range 60 { // nor is this: as many as may be sent
			time.Sleep(600 * time.Millisecond)
			if _, err := peer.Write(pings); err != nil {
				t.Fatal(err)
			}
		}
		begin := time.Now()
		for {
			if _, err := peer.Write(pings); err != nil {
				break
			}
		}
		if took := time.Since(begin); took < floodTimeout || took > floodTimeout+5*time.Second {
			t.Errorf("closed after %s", took)
		}
	})
}

// Transferred bytes add up, however few at a time.
func TestUploadsInSmallFramesAreNotReadSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a allowance
		a.start()
		a.take(frameBurst)
		begin, waits := time.Now(), 0
		for range 10_000 {
			a.earn(bytesPerFrame - 1)
			if d := a.take(1); d > 0 {
				waits++
				time.Sleep(d)
			}
		}
		if waits > 100 {
			t.Errorf("%d waits in %s", waits, time.Since(begin))
		}
	})
}

// dialHTTP2 returns a connection that speaks HTTP/2 and reads everything it receives.
func dialHTTP2(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write(clientPreface()); err != nil {
		t.Fatal(err)
	}
	return conn
}

// readGoAway returns the last stream ID of a server's GOAWAY, or an error.
func readGoAway(r io.Reader) (uint32, error) {
	for header := make([]byte, frameHeaderBytes); ; {
		if _, err := io.ReadFull(r, header); err != nil {
			return 0, err
		}
		payload := make([]byte, binary.BigEndian.Uint32(append([]byte{0}, header[:3]...)))
		if _, err := io.ReadFull(r, payload); err != nil {
			return 0, err
		}
		if header[3] == frameLast {
			if c := binary.BigEndian.Uint32(payload[4:]); c != 0 {
				return 0, fmt.Errorf("error code %d", c)
			}
			return binary.BigEndian.Uint32(payload), nil
		}
	}
}

func TestAnHTTP2ConnectionWithoutARequestGetsAGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{}
		g, err := New(Options{Handler: b, Resolve: b.resolve})
		if err != nil {
			t.Fatal(err)
		}
		ln := newPipes()
		s := NewServer(ServerOptions{Handler: g})
		var served sync.WaitGroup
		served.Go(func() { _ = s.Serve(context.Background(), ln) })
		for name, tc := range map[string]struct {
			sent string
			want bool
		}{
			"a preface":       {string(clientPreface()), true},
			"half a frame":    {string(clientPreface()) + "\x00\x40", false},
			"the size of one": {string(clientPreface()) + "\x00\x40\x00\x00\x00\x00\x00\x00\x01", false},
			"half of a block": {string(clientPreface()) + string(frame(frameHeaders, 0, 1, 0x82)), false},
			"pings":           {string(clientPreface()) + strings.Repeat(string(frame(framePing, 0, 0, make([]byte, 8)...)), 5), true},
		} {
			peer := ln.dial()
			begin := time.Now()
			var wrote sync.WaitGroup
			wrote.Go(func() { _, _ = peer.Write([]byte(tc.sent)) })
			if last, err := readGoAway(peer); (err == nil) != tc.want || last != 0 {
				t.Errorf("%s: stream %d, %v", name, last, err)
			}
			_, _ = io.Copy(io.Discard, peer)
			if took := time.Since(begin); took > firstRequest+3*time.Second {
				t.Errorf("%s: open for %s", name, took)
			}
			_ = peer.Close()
			wrote.Wait()
		}
		_ = s.Close()
		served.Wait()
		synctest.Wait()
	})
}

// pipeTo returns an in-memory connection to a gateway, for use in a bubble.
func pipeTo(t *testing.T, b *backend, o Options, budget *wire.Budget) (peer net.Conn, end func()) {
	t.Helper()
	o.Handler, o.Resolve, o.Host = b, b.resolve, host
	g, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln := newPipes()
	s := NewServer(ServerOptions{Handler: g, Limits: o.Limits, Budget: budget})
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(context.Background(), ln) })
	peer = ln.dial()
	return peer, func() {
		_ = peer.Close()
		_ = s.Close()
		served.Wait()
		g.Wait()
	}
}

// pipes is an in-memory listener.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) dial() net.Conn {
	near, far := net.Pipe()
	p.conns <- near
	return far
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// halfRead returns the number of HTTP/2 connections with an incomplete frame.
func halfRead(s *Server) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if f := c.frames.Load(); f != nil && f.began.Load() != 0 {
			n++
		}
	}
	return n
}

// The 9 bytes of a frame header must not allocate a MiB.
func TestAFrameHeaderAllocatesLittle(t *testing.T) {
	const peers = 200
	srv, addr := start(t, &backend{}, Options{}, nil)
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	conns := make([]net.Conn, peers)
	for i := range conns {
		conns[i] = dialHTTP2(t, addr)
		_, _ = io.ReadFull(conns[i], make([]byte, frameHeaderBytes))
	}
	before := heap()
	for _, c := range conns {
		if _, err := c.Write([]byte{0, 0x40, 0, 0, 0, 0, 0, 0, 1}); err != nil {
			t.Fatal(err)
		}
	}
	waitUntil(t, func() bool { return halfRead(srv) == peers }, func() string { return fmt.Sprintf("%d headers were read", halfRead(srv)) })
	if r := do(t, "POST", "http://"+addr+"/Arith/Mul", `{"a":1}`); r.StatusCode != 200 {
		t.Errorf("status %d", r.StatusCode)
	}
	if grown := (heap() - before) / peers; grown > 64<<10 {
		t.Errorf("%d bytes a connection", grown)
	}
}

// Floods of HTTP/2 frames are read slowly or end their own connection, and do not affect others.
func TestHTTP2FloodsDoNotAffectOthers(t *testing.T) {
	b := &backend{hook: func(ctx context.Context, _, _ *wire.Frame) error {
		<-ctx.Done()
		return ctx.Err()
	}}
	budget := wire.NewBudget(0, 0)
	srv, addr := startOn(t, countingListener{listen(t)}, b, Options{Get: []string{"Arith.Hook"}}, budget)
	reset := func(i int) []byte {
		stream := uint32(2*i + 1)
		return append(get(stream), frame(frameRST, 0, stream, 0, 0, 0, 8)...)
	}
	for name, piece := range map[string]func(i int) []byte{
		"PING":          func(int) []byte { return frame(framePing, 0, 0, make([]byte, 8)...) },
		"SETTINGS":      func(int) []byte { return frame(frameSettings, 0, 0, 0, 4, 0, 0, 0xff, 0xff) },
		"PRIORITY":      func(int) []byte { return frame(0x2, 0, 1, 0, 0, 0, 0, 1) },
		"WINDOW_UPDATE": func(int) []byte { return frame(frameUpdate, 0, 0, 0, 0, 0, 1) },
		"unknown":       func(int) []byte { return frame(0x77, 0, 0) },
		"rapid reset":   reset,
		"CONTINUATION": func(i int) []byte {
			if i == 0 {
				return frame(frameHeaders, 0, 1, 0x82)
			}
			return frame(frameContinuation, 0, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var floods sync.WaitGroup
			ctx, stop := context.WithTimeout(t.Context(), attackFor())
			defer floods.Wait()
			defer stop()
			begin := time.Now()
			var sent [10]int
			for i := range sent {
				conn := dialHTTP2(t, addr)
				context.AfterFunc(ctx, func() { _ = conn.Close() })
				floods.Go(func() { _, _ = io.Copy(io.Discard, conn) })
				floods.Go(func() {
					for ctx.Err() == nil {
						var many []byte
						for range 100 {
							many = append(many, piece(sent[i])...)
							sent[i]++
						}
						if _, err := conn.Write(many); err != nil {
							return
						}
					}
				})
			}
			calls := 0
			for ; calls < 20 || ctx.Err() == nil; calls++ {
				if r := do(t, "POST", "http://"+addr+"/Arith/Mul", `{"a":73,"b":1500}`); r.body != line {
					t.Fatalf("a caller beside: %d %s", r.StatusCode, r.body)
				}
			}
			// The bytes of a flood earn it a little more.
			most := int64(frameBurst+framesPerSecond*time.Since(begin).Seconds())*5/4 + 100
			for _, read := range framesRead(srv, begin) {
				if read > most {
					t.Errorf("%d frames of a peer were read, want at most %d", read, most)
				}
			}
			stop()
			floods.Wait()
			t.Logf("%d calls beside floods of %v frames", calls, sent)
		})
	}
	waitReleased(t, budget)
}

// framesRead returns the number of frames read on each HTTP/2 connection opened since then.
func framesRead(s *Server, since time.Time) (counts []int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.frames.Load() != nil && c.opened.After(since) {
			counts = append(counts, c.Conn.(*countingConn).count.Load())
		}
	}
	return counts
}

// countingListener counts the frames read on each connection, as if all of them spoke HTTP/2.
type countingListener struct{ net.Listener }

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countingConn{Conn: c, at: cursor{left: len(preface2)}}, nil
}

type countingConn struct {
	net.Conn
	at    cursor
	count atomic.Int64
}

func (c *countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	for rest := b[:n]; len(rest) > 0; {
		var begins bool
		if rest, begins = c.at.next(rest); begins {
			c.count.Add(1)
		}
	}
	return n, err
}

func attackFor() time.Duration {
	if os.Getenv("TEST_EASYMICRO_LONG") != "" {
		return time.Minute
	}
	return time.Second / 3
}
