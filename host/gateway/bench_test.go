package gateway

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/easymicro/easymicro/wire"
)

// The benchmarks differ only in the gateway: same server, same payload, same JSON library.

func BenchmarkGateway(b *testing.B) {
	back := &backend{}
	g, err := New(Options{Handler: wire.HandlerFunc(func(_ context.Context, req, res *wire.Frame) error {
		var a args
		if err := wire.Decode(req.Codec, req.Payload, &a); err != nil {
			return err
		}
		var err error
		res.Payload, err = wire.Append(req.Codec, res.Payload, &reply{a.A * a.B})
		return err
	}), Resolve: back.resolve})
	if err != nil {
		b.Fatal(err)
	}
	benchmark(b, g)
}

func BenchmarkBareHTTP(b *testing.B) {
	benchmark(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var a args
		if err := wire.Decode(wire.JSON, body, &a); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		out, err := wire.Append(wire.JSON, nil, &reply{a.A * a.B})
		if err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(out)
	}))
}

func BenchmarkBareEncodingJSON(b *testing.B) {
	benchmark(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var a args
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(&reply{a.A * a.B})
	}))
}

func benchmark(b *testing.B, h http.Handler) {
	b.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := NewServer(ServerOptions{Handler: h})
	var served sync.WaitGroup
	defer served.Wait()
	defer srv.Close()
	served.Go(func() { _ = srv.Serve(context.Background(), ln) })
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := client.Post("http://"+ln.Addr().String()+"/Arith/Mul", "application/json", strings.NewReader(`{"a":73,"b":1500}`))
			if err != nil {
				b.Error(err)
				return
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if strings.TrimSpace(string(body)) != product {
				b.Errorf("%d %s", res.StatusCode, body)
				return
			}
		}
	})
}

// BenchmarkServeHTTP measures the gateway itself, without sockets.
func BenchmarkServeHTTP(b *testing.B) {
	back := &backend{}
	g, err := New(Options{Handler: wire.HandlerFunc(func(_ context.Context, _, res *wire.Frame) error {
		res.Payload = append(res.Payload, product...)
		return nil
	}), Resolve: back.resolve})
	if err != nil {
		b.Fatal(err)
	}
	body := strings.NewReader("")
	r := httptest.NewRequestWithContext(context.Background(), "POST", "/Arith/Mul", body)
	r.ContentLength = 17
	r.Header.Set("Content-Type", "application/json")
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(`{"a":73,"b":1500}`)
		g.ServeHTTP(discard{http.Header{}}, r)
	}
}
