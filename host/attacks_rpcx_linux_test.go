package host_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// burst is n frames like f, with sequences of their own.
func burst(n int, f *wire.Frame) []byte {
	var all []byte
	each := *f
	for i := range n {
		each.Seq = f.Seq + uint64(i)
		all = wire.AppendFrame(all, &each)
	}
	return all
}

// small is a call with a payload that all methods take.
func small(service, method string) *wire.Frame {
	return wiretest.Request(2, service, method, wire.JSON, []byte(`{"A":2,"B":3}`))
}

func oneWay(f *wire.Frame) *wire.Frame {
	f.OneWay = true
	return f
}

// header is the beginning of a frame that claims so many bytes, and names of which the first claims as many as name.
func header(claim, name uint32) []byte {
	b := append([]byte{wire.Magic}, make([]byte, wire.HeaderBytes-1)...)
	b[3] = byte(wire.JSON) << 4
	binary.BigEndian.PutUint32(b[12:], claim)
	return binary.BigEndian.AppendUint32(b, name)
}

// bombs are small frames whose payloads decode to much memory, each often enough on one connection.
var bombs = sync.OnceValue(func() (all [][]byte) {
	nils := append([]byte{0x81, 0xa5, 'I', 't', 'e', 'm', 's', 0xdd, 0, 0xef, 0xff, 0}, bytes.Repeat([]byte{0xc0}, 0xefff00)...)
	nulls := []byte(`{"Items":[` + strings.Repeat("null,", 3<<20) + `null]}`)
	anys := []byte(`{"More":[` + strings.Repeat("{},", 4<<20) + `{}]}`)
	for _, bomb := range []struct {
		codec   wire.Codec
		with    wire.Compression
		payload []byte
	}{
		{wire.Msgpack, wire.Gzip, nils},
		{wire.JSON, wire.Gzip, nulls},
		{wire.JSON, wire.Zstd, nulls},
		{wire.JSON, wire.Gzip, anys},
		{wire.JSON, wire.Gzip, make([]byte, 64<<20)},
		{wire.Msgpack, wire.NoCompression, nils[:3<<20]},
	} {
		f := wiretest.Request(2, "Load", "Count", bomb.codec, bomb.payload)
		if f.Compression = bomb.with; bomb.with != wire.NoCompression {
			f.Payload, _ = wire.AppendCompressed(nil, bomb.with, bomb.payload) // the payload is no failure of it
		}
		all = append(all, burst(4, f))
	}
	return all
})

// deep are payloads of many levels.
func deep() (all [][]byte) {
	for codec, payload := range map[wire.Codec]string{
		wire.JSON:    `{"More":` + strings.Repeat("[", 1<<20),
		wire.Msgpack: "\x81\xa4More" + strings.Repeat("\x91", 1<<20),
		wire.Thrift:  strings.Repeat("\x0c\x00\x01", 1<<19),
	} {
		for _, method := range []string{"Count", "Echo"} {
			all = append(all, burst(4, wiretest.Request(2, "Load", method, codec, []byte(payload))))
		}
	}
	return all
}

// pairs is a call with so much metadata.
func pairs(n, size int) *wire.Frame {
	f := small("Arith", "Mul")
	for i := range n {
		f.Metadata = append(f.Metadata, [2]string{fmt.Sprintf("key-%d", i), strings.Repeat("v", size)})
	}
	return f
}

// cancelled is calls that are cancelled at once, by a peer that knows how.
func cancelled(n int) []byte {
	var all []byte
	for i := range n {
		f := wiretest.With(small("Load", "Nap"), wire.MetaHost, "attacker")
		f.Seq = uint64(i + 2)
		all = wire.AppendFrame(all, f)
	}
	for i := range n {
		all = wire.AppendFrame(all, wiretest.OneWay(uint64(i+2), wire.CancelPath, "", wire.Raw, nil))
	}
	return all
}

// rpcxAttacks are those that speak rpcx, or nothing.
func rpcxAttacks() []attack {
	text := slices.Concat([]byte{'"'}, bytes.Repeat([]byte{'x'}, 64<<10), []byte{'"'})
	echo := wiretest.Request(2, "Load", "Echo", wire.JSON, text)
	long := wiretest.Request(2, "Load", "Echo", wire.Raw, make([]byte, 3<<20))
	beat := wiretest.Heartbeat(2)
	beat.Payload = make([]byte, 64<<10)
	half := wiretest.Bytes(long)[:2<<20]
	alien := small("Arith", "Mul")
	alien.Codec = 9
	return []attack{
		{name: "slow calls of peers that go", peers: 2, act: pour(nil, burst(500, small("Load", "Nap")))},
		{name: "slow calls of peers that reset", peers: 2, act: drop(burst(500, small("Load", "Nap")))},
		{name: "slow calls of peers that stay", peers: 2, act: insist(nil, burst(500, small("Load", "Nap")))},
		{name: "one-way calls", peers: 2, act: pour(nil, burst(500, oneWay(small("Arith", "Mul"))))},
		{name: "slow one-way calls", peers: 2, act: pour(nil, burst(500, oneWay(small("Load", "Nap"))))},
		{name: "answers that nobody reads", peers: 4, act: pour(nil, burst(20, echo))},
		{name: "long answers that nobody reads", peers: 4, act: pour(nil, burst(50, wiretest.Request(2, "Load", "Big", wire.JSON, []byte(`{"A":3900}`))))},
		{name: "heartbeats that nobody reads", peers: 2, act: pour(nil, burst(20, beat))},
		{name: "refusals that nobody reads", peers: 2, act: pour(nil, burst(500, small("Nobody", "None")))},
		{name: "bombs", peers: 2, act: ask(bombs()...)},
		{name: "claims of 4 GiB", peers: 2, act: pour(header(0xffffffff, 5), make([]byte, 64<<10))},
		{name: "claims of names", peers: 2, act: ask(header(100, 0xffffffff), header(0xfffffff0, 0xfffffff0), header(4<<20, 4<<20-8))},
		{name: "deep nesting", peers: 2, act: ask(deep()...)},
		{name: "much metadata", peers: 2, act: insist(nil, burst(20, pairs(10_000, 1)))},
		{name: "long metadata", peers: 2, act: insist(nil, burst(20, pairs(60, 2<<10)))},
		{name: "metadata that is allowed", peers: 2, act: insist(nil, burst(20, pairs(60, 100)))},
		{name: "half frames", peers: 20, act: drip(5, half, make([]byte, 1<<10))},
		{name: "headers byte by byte", peers: 2, act: drip(200, nil, header(100, 5))},
		{name: "silent peers", peers: 2, act: drip(200, nil, nil)},
		{name: "connections", peers: 4, act: drop(nil)},
		{name: "connections of one call", peers: 4, act: drop(wiretest.Bytes(small("Arith", "Mul")))},
		{name: "bytes of no protocol", peers: 2, act: ask([]byte("\x16\x03\x01\x00\xee\x01"), []byte("\x00\x00"), []byte("\x08\x07\x00\x00"))},
		{name: "unknown names", peers: 2, act: insist(nil, burst(500, small("Arithmetics", "Multiply")))},
		{name: "unknown names that are long", peers: 2, act: insist(nil, burst(20, small(strings.Repeat("Arith", 1000), strings.Repeat("m", 5000))))},
		{name: "unknown codecs", peers: 2, act: insist(nil, burst(500, alien))},
		{name: "cancelled calls", peers: 2, act: insist(nil, cancelled(500))},
		{name: "calls of no time", peers: 2, act: insist(nil, burst(500, wiretest.With(small("Load", "Nap"), wire.MetaTimeout, "0")))},
		{name: "panics", peers: 2, act: insist(nil, burst(50, small("Crash", "Panic")))},
		{name: "handlers that end their goroutine", peers: 2, act: insist(nil, burst(50, small("Crash", "Goexit")))},
		{name: "errors that cannot be told", peers: 2, act: insist(nil, burst(50, small("Crash", "BadError")))},
		{name: "one sequence", peers: 2, act: insist(nil, bytes.Repeat(wiretest.Bytes(small("Load", "Nap")), 500))},
	}
}
