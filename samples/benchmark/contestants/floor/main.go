// Command floor has the floors: what is left of a call when a framework is left out. They share the message and its encoding
// with all contestants, and lack nearly everything that makes a server: errors, cancellation, limits, metadata.
package main

import (
	"runtime"

	"github.com/easymicro/easymicro/samples/benchmark/contestant"
	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

func main() {
	contestant.Main(
		floor("pp+pb", "blocking ping-pong and protobuf on Go's poller", contract.Own, servePingPong, dialPingPong),
		floor("epoll+pb", "ping-pong with own epoll loops and protobuf", contract.Own, serveEpoll, dialPingPong),
		floor("mux+pb+goroutine", "multiplexed, coalesced and protobuf, a goroutine for each call", contract.Shared, serveMux(inGoroutine), dialMux(protobuf)),
		floor("mux+pb+workers", "the same with 32 workers for each connection", contract.Shared, serveMux(inWorker), dialMux(protobuf)),
		floor("mux+pb", "the same with the call run on the reader", contract.Shared, serveMux(onReader), dialMux(protobuf)),
		floor("mux", "the same with bytes instead of protobuf", contract.Shared, serveMux(bytesOnReader), dialMux(plainBytes)),
	)
}

func floor(name, note, load string, serve serveFunc, dial dialFunc) contestant.Contestant {
	return contestant.Contestant{
		Description: contract.Description{Name: name, Version: runtime.Version(), Note: note, Loads: []string{load}},
		Serve:       serve,
		Dial:        dial,
	}
}
