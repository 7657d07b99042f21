package host_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
)

// BenchmarkStandalone is a call over HTTP at 64 connections: by a bare handler of net/http and encoding/json, by a host
// that serves it itself, and by a gateway that passes it on to that host. All is in one process, so that callers and hosts
// share its processors.
func BenchmarkStandalone(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var a args
			if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(&reply{a.A * a.B})
		}))
		defer srv.Close()
		over64(b, srv.Listener.Addr().String())
	})
	y := newYard()
	h, _ := far(b, y, newPlant(b), "")
	b.Run("own", func(b *testing.B) { over64(b, h.Address) })
	gw := standalone(b, y, toAll, hosttest.Options{Log: io.Discard})
	b.Run("passed on", func(b *testing.B) { over64(b, gw.Address) })
}

// over64 makes b.N calls over 64 connections, with as little work on the callers' side as there can be.
func over64(b *testing.B, address string) {
	const body = `{"A":73,"B":1500}`
	request := fmt.Appendf(nil, "POST /Arith/Mul HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	for range 64 {
		conn, err := net.Dial("tcp", address)
		must(b, err)
		all.Go(func() {
			defer conn.Close()
			in := bufio.NewReader(conn)
			for left.Add(-1) >= 0 {
				if _, err := conn.Write(request); err != nil {
					b.Error(err)
					return
				}
				if err := readAnswer(in); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

// readAnswer reads one answer with a Content-Length.
func readAnswer(in *bufio.Reader) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if string(line) != "HTTP/1.1 200 OK\r\n" {
		return fmt.Errorf("%q", line)
	}
	length := 0
	for {
		if line, err = in.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) == 2 {
			break
		}
		if n, ok := number(line, "Content-Length: "); ok {
			length = n
		}
	}
	_, err = in.Discard(length)
	return err
}

func number(line []byte, key string) (n int, ok bool) {
	if len(line) < len(key) || string(line[:len(key)]) != key {
		return 0, false
	}
	for _, c := range line[len(key):] {
		if c >= '0' && c <= '9' {
			n = 10*n + int(c-'0')
		}
	}
	return n, true
}
