package client

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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

// BenchmarkCallWithDeadline has a guard that gives each call a deadline, as a timeout rule does.
func BenchmarkCallWithDeadline(b *testing.B) {
	s := newServer(b, func(_ context.Context, req, res *wire.Frame) error {
		res.Payload = append(res.Payload, req.Payload...)
		return nil
	})
	payload := make([]byte, 500)
	var args any = &payload
	for name, do := range map[string]func(context.Context, OutgoingCall) (int, error){
		"context": func(ctx context.Context, call OutgoingCall) (int, error) {
			ctx, cancel := context.WithDeadline(ctx, time.Now().Add(5*time.Second))
			defer cancel()
			return 0, call.Attempt(ctx, 0, nil)
		},
		"value": func(ctx context.Context, call OutgoingCall) (int, error) {
			d := WithDeadline(ctx, time.Now().Add(5*time.Second))
			defer d.Release()
			return 0, call.Attempt(d, 0, nil)
		},
	} {
		for _, callers := range []int{1, 100} {
			b.Run(name+"/"+strconv.Itoa(callers)+"callers", func(b *testing.B) {
				c := newClient(b, Options{Resolver: serving(s.address), Codec: "raw", Guard: &scripted{do: do}})
				b.ReportAllocs()
				var all sync.WaitGroup
				var begun atomic.Int64
				b.ResetTimer()
				for range callers {
					all.Go(func() {
						var reply []byte
						for begun.Add(1) <= int64(b.N) {
							if err := c.Call(context.Background(), "Arith", "Echo", args, &reply); err != nil {
								b.Error(err)
							}
						}
					})
				}
				all.Wait()
			})
		}
	}
}
