// Command http has the contestants of net/http.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"time"

	"github.com/easymicro/easymicro/samples/benchmark/contestant"
	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

const path = "/Bench/Mul"

func main() {
	contestant.Main(
		entry("net/http", "a bare handler that reads the body and writes constant bytes", bare),
		entry("net/http+json", "the same with encoding/json", withJSON),
	)
}

func entry(name, note string, handler func(contestant.Site) http.HandlerFunc) contestant.Contestant {
	return contestant.Contestant{
		Description: contract.Description{Name: name, Version: runtime.Version(), Note: note, Loads: []string{contract.HTTP}},
		Serve:       func(ctx context.Context, s contestant.Site) error { return serve(ctx, s, handler(s)) },
		Dial:        contestant.DialHTTP(path),
	}
}

func serve(ctx context.Context, s contestant.Site, handler http.HandlerFunc) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+path, handler)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	s.Ready(ln.Addr().String())
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func bare(s contestant.Site) http.HandlerFunc {
	reply := []byte(contestant.HTTPReply)
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.Work()
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(reply)
	}
}

func withJSON(s contestant.Site) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var args contestant.Args
		if err := json.NewDecoder(r.Body).Decode(&args); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.Work()
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(contestant.Reply{C: args.A * args.B})
	}
}
