package client

import (
	"context"
	"strconv"
	"testing"

	"github.com/easymicro/easymicro/wire"
)

func BenchmarkCall(b *testing.B) {
	s := newServer(b, func(_ context.Context, req, res *wire.Frame) error {
		res.Payload = append(res.Payload, req.Payload...)
		return nil
	})
	payload := make([]byte, 500)
	var args any = &payload
	for _, callers := range []int{1, 100} {
		b.Run(strconv.Itoa(callers)+"callers", func(b *testing.B) {
			c := newClient(b, Options{Resolver: serving(s.address), Codec: "raw"})
			b.ReportAllocs()
			b.SetParallelism(max(callers/2, 1))
			call := func(reply *[]byte) {
				if err := c.Call(context.Background(), "Arith", "Echo", args, reply); err != nil {
					b.Error(err)
				}
			}
			if callers == 1 {
				var reply []byte
				for b.Loop() {
					call(&reply)
				}
				return
			}
			b.RunParallel(func(p *testing.PB) {
				var reply []byte
				for p.Next() {
					call(&reply)
				}
			})
		})
	}
}

func BenchmarkPick(b *testing.B) {
	for _, p := range []Policy{RoundRobin, WeightedRoundRobin, Random, LeastRequest, P2C, ConsistentHash} {
		for _, n := range []int{3, 100} {
			b.Run(string(p)+"/"+strconv.Itoa(n), func(b *testing.B) {
				weights := make([]int64, n)
				bal := newBalancer(p, members(nil, weights...), nil)
				f := withKey(1)
				f.not = nil
				b.ReportAllocs()
				for b.Loop() {
					if bal.pick(f) == nil {
						b.Fatal("nobody")
					}
				}
			})
		}
	}
}
