package host

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
	_ "github.com/easymicro/easymicro/samples"
	"github.com/easymicro/easymicro/wire"
)

func TestSmoke(t *testing.T) {
	m, ps := config.DecodeManifest("m.yaml", []byte(`
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: "127.0.0.1:0"}
services: [{name: Arith, handler: samples.arith}]
policies: {rules: [{name: r, match: {service: Arith}, rateLimit: {rate: 1, burst: 3}, timeout: 1s}]}
`), os.LookupEnv)
	if err := ps.Err(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan *Host, 1)
	h, err := Open(t.Context(), &config.Set{Manifest: m, Rules: m.Policies.Rules}, Options{Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), OnReady: func(h *Host) { ready <- h }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()
	<-ready
	addr := h.Addr("main").String()
	for range 5 {
		res, err := http.Post("http://"+addr+"/Arith/mul", "", strings.NewReader(`{"a":73,"b":1500}`))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		t.Log(res.Status, string(b), res.Header)
	}
	c, err := wire.Dial(t.Context(), "tcp", addr, wire.ConnOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var res wire.Frame
	err = c.Do(t.Context(), &wire.Frame{Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"a":2,"b":3}`)}, &res)
	t.Log(err, string(res.Payload), res.Metadata)
	c.Close()
	r, err := http.Get("http://" + h.AdminAddr().String() + "/api/v1/explain?service=Arith&method=Mul")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(r.Body)
	t.Log(string(b))
	cancel()
	t.Log(<-done)
}
