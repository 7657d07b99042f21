package wire_test

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// BenchmarkServerLoopback is whole calls over loopback TCP, client and server in one process: an op is a call, and its
// Allocations include both sides.
func BenchmarkServerLoopback(b *testing.B) {
	for _, bc := range []struct {
		name           string
		conns, callers int
	}{
		{"1conn-1caller", 1, 1},
		{"1conn-100callers", 1, 100},
		{"10conns-1000callers", 10, 1000},
	} {
		b.Run(bc.name, func(b *testing.B) {
			address, _, _ := onTCP(b, echo, wire.Limits{})
			conns := make([]*wire.Conn, bc.conns)
			for i := range conns {
				conns[i] = dialTCP(b, address)
			}
			payload := make([]byte, 581)
			b.ReportAllocs()
			b.ResetTimer()
			var all sync.WaitGroup
			var begun atomic.Int64
			for i := range bc.callers {
				all.Go(func() {
					var res wire.Frame
					req := wiretest.Request(0, "Test", "Echo", wire.Raw, payload)
					for begun.Add(1) <= int64(b.N) {
						if err := conns[i%bc.conns].Do(b.Context(), req, &res); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
		})
	}
}
