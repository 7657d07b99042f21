package gateway

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// overHTTP2 is a client of HTTP/2 over one connection.
func overHTTP2(peer net.Conn) *http.Transport {
	tr := &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return peer, nil }, Protocols: new(http.Protocols),
		DisableCompression: true,
	}
	tr.Protocols.SetUnencryptedHTTP2(true)
	return tr
}

// A stalled body holds memory for BodyTimeout, or for a second while others need it.
func TestStalledBodiesEndWhenMemoryIsShort(t *testing.T) {
	const most = 1 << 20
	half := `{"a":1,"x":"` + strings.Repeat("x", 30<<10)
	for _, proto := range []int{1, 2} {
		for _, tc := range []struct {
			name         string
			short, comes bool
			status       int
			from, to     time.Duration
		}{
			{"short", true, false, 503, stallAfter, stallAfter + 2*sweepEvery},
			{"short, but it arrives", true, true, 200, 10 * time.Second, 12 * time.Second},
			{"enough", false, false, 408, 30 * time.Second, 33 * time.Second},
		} {
			synctest.Test(t, func(t *testing.T) {
				budget := wire.NewBudget(0, most)
				peer, end := pipeTo(t, &backend{}, Options{}, budget)
				defer end()
				if tc.short {
					budget.NewShare(nil).AddBytes(most / 8 * 7)
				}
				body, in := io.Pipe()
				var sent sync.WaitGroup
				defer sent.Wait()
				sent.Go(func() {
					_, _ = io.WriteString(in, half)
					for i := 0; tc.comes && i < 20; i++ {
						time.Sleep(time.Second / 2)
						_, _ = io.WriteString(in, "x")
					}
					if tc.comes {
						_, _ = io.WriteString(in, `"}`)
						_ = in.Close()
					}
				})
				begin := time.Now()
				req, err := http.NewRequestWithContext(t.Context(), "POST", "http://x/Arith/Mul", body)
				if err != nil {
					t.Fatal(err)
				}
				req.ContentLength = int64(len(half) + 22)
				tr := overHTTP2(peer)
				if proto == 1 {
					tr.Protocols = nil
				}
				defer tr.CloseIdleConnections()
				res, err := tr.RoundTrip(req)
				if err != nil {
					t.Fatalf("HTTP/%d, %s: %v", proto, tc.name, err)
				}
				defer res.Body.Close()
				if took := time.Since(begin); res.StatusCode != tc.status || took < tc.from || took > tc.to {
					t.Errorf("HTTP/%d, %s: %d after %s, want %d after %s", proto, tc.name, res.StatusCode, took, tc.status, tc.from)
				}
				_ = in.Close()
				_, _ = io.Copy(io.Discard, body)
			})
		}
	}
}

// throttled returns a connection to far that is read at a constant rate, and a function that waits for its end.
func throttled(far net.Conn, bytes int, interval time.Duration) (near net.Conn, done *sync.WaitGroup) {
	near, middle := net.Pipe()
	done = new(sync.WaitGroup)
	done.Go(func() {
		_, _ = io.Copy(far, middle)
		_ = far.Close()
	})
	done.Go(func() {
		b := make([]byte, bytes)
		for {
			n, err := far.Read(b)
			if err == nil {
				_, err = middle.Write(b[:n])
			}
			if err != nil {
				_, _ = far.Close(), middle.Close()
				return
			}
			time.Sleep(interval)
		}
	})
	return near, done
}

// On a slow line each of a connection's many responses takes long, although the peer reads all the time.
func TestManyResponsesOverASlowLineAllArrive(t *testing.T) {
	const calls = 50
	reply := `"` + strings.Repeat("x", 40<<10) + `"`
	b := &backend{hook: func(_ context.Context, _, res *wire.Frame) error {
		res.Payload = append(res.Payload, reply...)
		return nil
	}}
	synctest.Test(t, func(t *testing.T) {
		peer, end := pipeTo(t, b, Options{}, nil)
		defer end()
		slow, done := throttled(peer, 4<<10, 100*time.Millisecond) // 40 KiB a second, so that a step of all takes 20 s
		tr := overHTTP2(slow)
		defer done.Wait()
		defer tr.CloseIdleConnections()
		get := func() {
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://x/Arith/Hook", strings.NewReader("{}"))
			res, err := tr.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if n, err := io.Copy(io.Discard, res.Body); n < int64(len(reply)) || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
		}
		get() // the connection is there
		var all sync.WaitGroup
		for range calls {
			all.Go(get)
		}
		all.Wait()
	})
}

// The responses of a peer that reads none of them end in time, whatever else it sends; its other calls continue.
func TestUnreadHTTP2ResponsesEndInTime(t *testing.T) {
	b := &backend{hook: func(_ context.Context, _, res *wire.Frame) error {
		res.Payload = append(res.Payload, `"`+strings.Repeat("x", 200<<10)+`"`...)
		return nil
	}}
	synctest.Test(t, func(t *testing.T) {
		budget := wire.NewBudget(0, 0)
		peer, end := pipeTo(t, b, Options{Get: []string{"Arith.Hook"}}, budget)
		defer end()
		begin := time.Now()
		resets := make(chan time.Duration, 10)
		go func() { // reads frames, but sends no WINDOW_UPDATE
			header := make([]byte, frameHeaderBytes)
			for {
				if _, err := io.ReadFull(peer, header); err != nil {
					return
				}
				if _, err := io.CopyN(io.Discard, peer, int64(binary.BigEndian.Uint32(append([]byte{0}, header[:3]...)))); err != nil {
					return
				}
				if header[3] == frameRST {
					resets <- time.Since(begin)
				}
			}
		}()
		_, _ = peer.Write(append(clientPreface(), get(1)...))
		stop := make(chan struct{})
		var pings sync.WaitGroup
		pings.Go(func() {
			for tick := time.NewTicker(time.Second); ; {
				select {
				case <-tick.C:
					_, _ = peer.Write(frame(framePing, 0, 0, make([]byte, 8)...))
				case <-stop:
					tick.Stop()
					return
				}
			}
		})
		if took := <-resets; took < 10*time.Second || took > 13*time.Second {
			t.Errorf("ended after %s", took)
		}
		close(stop)
		pings.Wait()
		synctest.Wait()
		if u := budget.Usage(); u.InFlight != 0 || u.BufferedBytes != 0 {
			t.Errorf("still held: %+v", u)
		}
	})
}

// A response that waits for its caller is charged for the memory it uses, but not as a call.
func TestAWaitingResponseHoldsItsMemoryAndNoCall(t *testing.T) {
	const size = 1 << 20
	noise := make([]byte, size/2)
	_, _ = rand.Read(noise)
	b := &backend{hook: func(_ context.Context, _, res *wire.Frame) error {
		res.Payload = append(res.Payload, `"`+hex.EncodeToString(noise)+`"`...)
		return nil
	}}
	for _, remote := range []bool{false, true} {
		for _, accept := range []string{"identity", "gzip"} {
			synctest.Test(t, func(t *testing.T) {
				budget := wire.NewBudget(0, 0)
				o := Options{Remote: func(string) bool { return remote }}
				peer, end := pipeTo(t, b, o, budget)
				defer end()
				body := `{"a":1,"x":"` + strings.Repeat("x", size) + `"}`
				fmt.Fprintf(peer, "POST /Arith/Hook HTTP/1.1\r\nHost: x\r\nAccept-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s", accept, len(body), body)
				synctest.Wait() // the first byte of the response waits for the peer
				u := budget.Usage()
				most, least := int64(size+size/2), int64(size)
				if accept == "gzip" {
					most, least = size+size/4, size/2
				}
				if u.InFlight != 0 || u.BufferedBytes < least || u.BufferedBytes > most {
					t.Errorf("remote %v, %s: %+v", remote, accept, u)
				}
				res, err := http.ReadResponse(bufio.NewReader(peer), nil)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, res.Body); err != nil || n < 1 {
					t.Errorf("%d bytes, %v", n, err)
				}
			})
		}
	}
}

// Small calls beside a slow download do not use up a peer's allowance, however many frames they take.
func TestASlowDownloadDoesNotBlockSmallCalls(t *testing.T) {
	const (
		window   = 16 << 10
		opened   = 1 << 10 // of it in a second
		seconds  = 15
		perSlice = 100 // calls in half a second
	)
	b := &backend{hook: func(_ context.Context, _, res *wire.Frame) error {
		res.Payload = append(res.Payload, `"`+strings.Repeat("x", window+seconds*opened-4)+`"`...)
		return nil
	}}
	synctest.Test(t, func(t *testing.T) {
		g, err := New(Options{Handler: b, Resolve: b.resolve})
		if err != nil {
			t.Fatal(err)
		}
		ln, s := newPipes(), NewServer(ServerOptions{Handler: g})
		var served, reading sync.WaitGroup
		served.Go(func() { _ = s.Serve(context.Background(), ln) })
		peer := ln.dial()
		ended := make(map[uint32]byte) // streams, by the type of the frame that ended them
		reading.Go(func() { readStreams(peer, ended) })
		settings := frame(frameSettings, 0, 0, 0, 4, 0, 0, window>>8, 0)
		_, _ = peer.Write(slicesOf([]byte(preface2), settings, frame(frameUpdate, 0, 0, 0x3f, 0, 0, 0), http2Post(1, "/Arith/Hook")))
		stream, last := uint32(1), int64(0)
		for i := range 2 * seconds {
			var calls []byte
			for range perSlice {
				stream += 2
				calls = append(calls, http2Post(stream, "/Arith/Mul")...)
			}
			_, _ = peer.Write(append(calls, frame(frameUpdate, 0, 1, 0, 0, opened/2>>8, 0)...))
			time.Sleep(time.Second / 2)
			synctest.Wait()
			taken := takenBy(s)
			if taken <= last {
				t.Errorf("nothing is seen to be taken after %d half seconds", i+1)
				break
			}
			last = taken
		}
		_ = s.Close()
		served.Wait()
		reading.Wait()
		g.Wait()
		for n := uint32(1); n <= stream; n += 2 {
			if kind, ok := ended[n]; !ok || kind == frameRST {
				t.Errorf("stream %d has ended: %v, by a frame of type %d", n, ok, kind)
			}
		}
	})
}

// takenBy returns how many bytes of responses were taken on all HTTP/2 connections.
func takenBy(s *Server) (sum int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_, taken := c.Progress()
		sum += taken
	}
	return sum
}

// http2Post returns the frames of a POST with a body.
func http2Post(stream uint32, path string) []byte {
	block := append([]byte{0x83, 0x86, 0x04, byte(len(path))}, path...)
	return append(frame(frameHeaders, flagEndHeaders, stream, append(block, 0x01, 1, 'x')...), frame(0, 1, stream, []byte(`{"a":1}`)...)...)
}

// readStreams reads all frames, and records the type of the one that ends a stream.
func readStreams(r io.Reader, ended map[uint32]byte) {
	for header := make([]byte, frameHeaderBytes); ; {
		if _, err := io.ReadFull(r, header); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, r, int64(binary.BigEndian.Uint32(append([]byte{0}, header[:3]...)))); err != nil {
			return
		}
		if kind := header[3]; kind == frameRST || kind <= frameHeaders && header[4]&1 != 0 {
			ended[binary.BigEndian.Uint32(header[5:])] = kind
		}
	}
}
