package host_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
)

const (
	benchManifest = `
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: ""}
services: [{name: Arith, handler: test.arith}]
`
	benchRules = `
policies:
  rules:
    - {name: limit, match: {service: Arith}, rateLimit: {rate: 100000000, burst: 1000000000}}
    - {name: slots, match: {service: Arith}, concurrency: {max: 10000}}
    - {name: time, match: {service: Arith}, timeout: 5s}
    - {name: breaker, match: {service: Arith}, circuitBreaker: {window: 10s, minRequests: 20, failureRate: 50%, openTimeout: 5s}}
`
)

func BenchmarkLoopback(b *testing.B) {
	for _, rules := range []struct{ name, text string }{{"bare", ""}, {"rules", benchRules}} {
		h := serving(b, newPlant(b).reg, benchManifest+rules.text)
		address := h.Addr("main").String()
		b.Run("rpcx/"+rules.name, func(b *testing.B) { loopbackRPCX(b, address) })
		b.Run("http/"+rules.name, func(b *testing.B) { loopbackHTTP(b, address) })
		// Without wire and sockets, it is the host's own part.
		b.Run("handle/"+rules.name, func(b *testing.B) { handleOnly(b, h) })
	}
}

// loopbackRPCX is many callers on one connection. The allocations are those of both sides.
func loopbackRPCX(b *testing.B, address string) {
	b.ReportAllocs()
	conn, err := wire.Dial(context.Background(), "tcp", address, wire.ConnOptions{})
	must(b, err)
	defer conn.Close()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		req := wire.Frame{Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"A":2,"B":3}`)}
		var res wire.Frame
		for pb.Next() {
			if err := conn.Do(context.Background(), &req, &res); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func loopbackHTTP(b *testing.B, address string) {
	b.ReportAllocs()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	body := []byte(`{"A":2,"B":3}`)
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			res, err := client.Post("http://"+address+"/Arith/Mul", "application/json", bytes.NewReader(body))
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		}
	})
}

func handleOnly(b *testing.B, h *host.Host) {
	b.ReportAllocs()
	req := wire.Frame{Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"A":2,"B":3}`)}
	var res wire.Frame
	for b.Loop() {
		call := wire.NewCall(context.Background(), wire.CallOptions{Transport: "rpcx"})
		if err := h.Handle(call, &req, &res); err != nil {
			b.Fatal(err)
		}
		call.End()
	}
}

// manyServices are as many as a thousand rules need, since 100 rules at most may match one method.
func manyServices() string {
	var list []string
	for i := range 20 {
		list = append(list, fmt.Sprintf("{name: S%d, handler: test.arith}", i))
	}
	return "services: [{name: Arith, handler: test.arith}, " + strings.Join(list, ", ") + "]\n"
}

// manyRules is 1,000 rules, a hundred of which change with the rate.
func manyRules(rate int) string {
	var text strings.Builder
	for i := range 1000 {
		r := 1
		if i%10 == 0 {
			r = rate
		}
		fmt.Fprintf(&text, "  - {name: r%d, match: {service: S%d, caller: c%d}, rateLimit: {rate: %d, burst: 10}, timeout: 1s}\n", i, i%20, i, r)
	}
	return text.String()
}

func BenchmarkApply1000Rules(b *testing.B) {
	b.ReportAllocs()
	h, err := host.Open(context.Background(), setOf(b, "", manyServices()), host.Options{Registry: newPlant(b).reg})
	must(b, err)
	defer h.Close()
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		set := setOf(b, "", manyServices()+"policies:\n  rules:\n"+manyRules(1+n))
		b.StartTimer()
		_, err := h.Apply(context.Background(), set)
		must(b, err)
	}
}

// BenchmarkReloadLatency is the time from the save of a file to the revision in force, at 1,000 rules.
func BenchmarkReloadLatency(b *testing.B) {
	h := hosttest.Start(b, manyServices()+`
policies: {files: [policies.d/*.yaml]}
`, hosttest.Options{Registry: newPlant(b).reg, Log: io.Discard, Files: map[string]string{
		"policies.d/10.yaml": "rules:\n" + manyRules(1), "policies.d/20.yaml": rule(1),
	}})
	var longest time.Duration
	n := 1
	for b.Loop() {
		n++
		begin := time.Now()
		h.Write("policies.d/20.yaml", rule(n))
		r := h.Revision()
		longest = max(longest, time.Since(begin))
		if r.Result != host.ResultApplied {
			b.Fatalf("%s %v", r.Result, r.Problems)
		}
	}
	b.ReportMetric(float64(longest.Milliseconds()), "ms-longest")
}

func TestAnEditIsInForceSoonAfterTheSave(t *testing.T) {
	t.Parallel()
	h := hosttest.Start(t, manyServices()+`
policies: {files: [policies.d/*.yaml], watch: {poll: 24h}}
`, hosttest.Options{Registry: newPlant(t).reg, Log: io.Discard, Files: map[string]string{
		"policies.d/10.yaml": "rules:\n" + manyRules(1), "policies.d/20.yaml": rule(1),
	}})
	var longest time.Duration
	for n := 2; n < 7; n++ {
		begin := time.Now()
		must(t, os.WriteFile(filepath.Join(h.Dir, "policies.d", "20.yaml"), []byte(rule(n)), 0o600))
		if r := h.Revision(); r.Number != n || r.Result != host.ResultApplied {
			t.Fatalf("r%d %s", r.Number, r.Result)
		}
		longest = max(longest, time.Since(begin))
	}
	t.Logf("at 1,000 rules: %v at most", longest.Round(time.Millisecond))
}
