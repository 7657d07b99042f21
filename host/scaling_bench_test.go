package host_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
)

// BenchmarkScaling is what a call costs the host as the configuration grows, without sockets but for connections. Of all
// methods the calls take each in turn.
func BenchmarkScaling(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprintf("services/%d", n), func(b *testing.B) {
			h := serving(b, newPlant(b).reg, nServices(n))
			handleEach(b, h, n, nil)
		})
	}
	for _, n := range []int{0, 10, 10_000} {
		b.Run(fmt.Sprintf("rules/%d", n), func(b *testing.B) {
			h := serving(b, newPlant(b).reg, nServices(1000)+nRules(n, 1000))
			handleEach(b, h, 1000, nil)
		})
	}
	for _, n := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("keys/%d", n), func(b *testing.B) {
			h := serving(b, newPlant(b).reg, nServices(1)+`policies: {rules: [{name: tenants, match: {service: S0}, rateLimit: {rate: 100000000, burst: 1000000000, key: metadata.tenant}}]}
`)
			keys := make([]string, n)
			for i := range keys {
				keys[i] = fmt.Sprint("tenant-", i)
			}
			handleEach(b, h, 1, keys)
		})
	}
	for _, n := range []int{1, 100, 5_000} {
		b.Run(fmt.Sprintf("connections/%d", n), func(b *testing.B) {
			h := serving(b, newPlant(b).reg, nServices(1))
			conns := make([]*wire.Conn, n)
			for i := range conns {
				var err error
				conns[i], err = wire.Dial(b.Context(), "tcp", h.Addr("main").String(), wire.ConnOptions{})
				must(b, err)
				defer conns[i].Close()
			}
			req := wire.Frame{Service: "S0", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"A":2,"B":3}`)}
			b.ReportAllocs()
			b.ResetTimer()
			var res wire.Frame
			for i := 0; b.Loop(); i++ {
				must(b, conns[i%n].Do(context.Background(), &req, &res))
			}
		})
	}
}

// handleEach calls the services in turn, with the keys in turn.
func handleEach(b *testing.B, h *host.Host, services int, keys []string) {
	b.Helper()
	reqs := make([]wire.Frame, max(services, len(keys)))
	for i := range reqs {
		reqs[i] = wire.Frame{Service: fmt.Sprint("S", i%services), Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"A":2,"B":3}`)}
		if keys != nil {
			reqs[i].Metadata = wire.Metadata{{"tenant", keys[i]}}
		}
	}
	b.ReportAllocs()
	var res wire.Frame
	for i := 0; b.Loop(); i++ {
		call := wire.NewCall(context.Background(), wire.CallOptions{Transport: "rpcx"})
		must(b, h.Handle(call, &reqs[i%len(reqs)], &res))
		call.End()
	}
}

func nServices(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("  - {name: S%d, handler: test.arith}\n", i)
	}
	return "listeners: [{name: main, address: \"127.0.0.1:0\"}]\nadmin: {address: \"127.0.0.1:0\"}\nservices:\n" + strings.Join(list, "")
}

// nRules are rules for services in turn, of different kinds and for different peers.
func nRules(n, services int) string {
	if n == 0 {
		return ""
	}
	var text strings.Builder
	text.WriteString("policies:\n  rules:\n")
	kinds := []string{"rateLimit: {rate: 1000, burst: 1000}", "concurrency: {max: 100}", "timeout: 5s", "circuitBreaker: {failureRate: 50%}"}
	for i := range n {
		fmt.Fprintf(&text, "  - {name: r%d, match: {service: S%d, peer: 10.%d.%d.0/24}, %s}\n", i, i%services, i>>8, i&255, kinds[i%len(kinds)])
	}
	return text.String()
}

// BenchmarkReload10000Rules is the time from reading the files to the new revision in force.
func BenchmarkReload10000Rules(b *testing.B) {
	text := func(rate int) string {
		rules := strings.TrimPrefix(nRules(10_000, 1000), "policies:\n  ")
		return strings.Replace(rules, "{rate: 1000,", fmt.Sprintf("{rate: %d,", rate), 1)
	}
	h := hosttest.Start(b, nServices(1000)+"policies: {files: [p.yaml], watch: {debounce: 1m, maxDelay: 5m, poll: 1h}}\n",
		hosttest.Options{Registry: newPlant(b).reg, Log: io.Discard, Files: map[string]string{"p.yaml": text(1)}})
	b.ReportAllocs()
	for n := 2; b.Loop(); n++ {
		b.StopTimer()
		h.Write("p.yaml", text(n))
		b.StartTimer()
		if _, err := h.Admin.Reload(b.Context(), false); err != nil {
			b.Fatal(err)
		}
	}
}
