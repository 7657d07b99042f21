package host_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire"
)

// Types and flags of HTTP/2's frames.
const (
	h2Data         = 0x0
	h2Headers      = 0x1
	h2Priority     = 0x2
	h2RST          = 0x3
	h2Settings     = 0x4
	h2Ping         = 0x6
	h2Update       = 0x8
	h2Continuation = 0x9
	h2EndStream    = 0x1
	h2EndHeaders   = 0x4
)

func h2(kind, flags byte, stream uint32, payload ...byte) []byte {
	b := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// h2Hello begins a connection, with settings if any.
func h2Hello(settings ...byte) []byte {
	return append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), h2(h2Settings, 0, 0, settings...)...)
}

// h2Call is a POST with a body, on a stream.
func h2Call(stream uint32, path, body string) []byte {
	block := append([]byte{0x83, 0x86, 0x04, byte(len(path))}, path...) // POST, http, path
	block = append(append(block, 0x01, 9), "localhost"...)              // authority
	return append(h2(h2Headers, h2EndHeaders, stream, block...), h2(h2Data, h2EndStream, stream, []byte(body)...)...)
}

// streams is what of makes of the first n streams.
func streams(n int, of func(stream uint32) []byte) []byte {
	var all []byte
	for i := range n {
		all = append(all, of(uint32(2*i+1))...)
	}
	return all
}

func h2Reset(stream uint32) []byte {
	return append(h2Call(stream, "/Load/Nap", "{}"), h2(h2RST, 0, stream, 0, 0, 0, 8)...)
}

// http1 is n requests of HTTP/1.1, as they are sent.
func http1(n int, path, body string, headers ...string) []byte {
	head := "POST " + path + " HTTP/1.1\r\nHost: localhost\r\n" + strings.Join(append(headers, ""), "\r\n")
	return []byte(strings.Repeat(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body), n))
}

// smuggled are requests in which a proxy may see another than the host.
func smuggled() (all [][]byte) {
	const hidden = "POST /Load/Nap HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
	for _, framing := range []string{
		"Content-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n7\r\n{\"A\":1}\r\n0\r\n\r\n",
		"Content-Length: 7\r\nContent-Length: 0\r\n\r\n{\"A\":1}",
		"Content-Length: +7\r\n\r\n{\"A\":1}",
		"Content-Length : 0\r\n\r\n",
		"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
		"Transfer-Encoding: chunked\r\n\r\n7;\n{\"A\":1}\r\n0\r\n\r\n",
		"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
		"X: \x00\r\nContent-Length: 0\r\n\r\n",
	} {
		all = append(all, []byte("POST /Arith/Mul HTTP/1.1\r\nHost: localhost\r\n"+framing+hidden))
	}
	return all
}

// httpAttacks are those that speak HTTP.
func httpAttacks() []attack {
	nulls := `{"Items":[` + strings.Repeat("null,", 800<<10) + `null]}`
	packed, _ := wire.AppendCompressed(nil, wire.Gzip, []byte(`{"Items":[`+strings.Repeat("null,", 3<<20)+`null]}`))
	chunked := "POST /Load/Echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
	big := func(stream uint32) []byte { return h2Call(stream, "/Load/Big", `{"A":3900}`) }
	ack := h2(h2Settings, 1, 0)
	return []attack{
		{name: "http: slow calls of peers that go", peers: 4, act: pour(nil, http1(100, "/Load/Nap", "{}"))},
		{name: "http: slow calls of peers that reset", peers: 4, act: drop(http1(1, "/Load/Nap", "{}"))},
		{name: "http: one-way calls", peers: 2, act: insist(nil, http1(100, "/Arith/Mul", "{}", "X-Rpcx-Oneway: 1", "X-Rpcx-Serializetype: 1"))},
		{name: "http: slow one-way calls", peers: 2, act: insist(nil, http1(100, "/Load/Nap", "{}", "X-Rpcx-Oneway: 1", "X-Rpcx-Serializetype: 1"))},
		{name: "http: answers that nobody reads", peers: 50, act: pour(nil, http1(5, "/Load/Big", `{"A":3900}`))},
		{name: "http: answers that are compressed", peers: 4, act: pour(nil, http1(5, "/Load/Big", `{"A":3900}`, "Accept-Encoding: gzip"))},
		{name: "http: bombs", peers: 2, act: ask(http1(4, "/Load/Count", nulls), http1(4, "/Load/Count", string(packed), "Content-Encoding: gzip"))},
		{name: "http: deep nesting", peers: 2, act: ask(http1(4, "/Load/Count", `{"More":`+strings.Repeat("[", 1<<20)))},
		{name: "http: long headers", peers: 2, act: ask(http1(1, "/Arith/Mul", "{}", "X: "+strings.Repeat("x", 1<<20)), http1(50, "/Arith/Mul", "{}", "X: "+strings.Repeat("x", 20<<10)))},
		{name: "http: headers byte by byte", peers: 2, act: drip(200, []byte("POST /Arith/Mul HTTP/1.1\r\nX: "), []byte(strings.Repeat("x", 4<<10)))},
		{name: "http: bodies byte by byte", peers: 2, act: drip(200, []byte("POST /Load/Echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n\""), []byte(strings.Repeat("x", 4<<10)))},
		{name: "http: half bodies", peers: 20, act: drip(5, http1(1, "/Load/Echo", strings.Repeat("x", 3<<20))[:2<<20], nil)},
		{name: "http: chunks of one byte", peers: 2, act: insist([]byte(chunked), []byte(strings.Repeat("1\r\nx\r\n", 1000)))},
		{name: "http: unknown names", peers: 2, act: insist(nil, http1(100, "/Arithmetics/Multiply", "{}"))},
		{name: "http: panics", peers: 2, act: insist(nil, http1(50, "/Crash/Panic", "{}"))},
		{name: "http: handlers that end their goroutine", peers: 2, act: insist(nil, http1(50, "/Crash/Goexit", "{}"))},
		{name: "http: smuggled requests", peers: 2, act: ask(smuggled()...)},
		{name: "h2: rapid reset", peers: 2, act: insist(h2Hello(), streams(2000, h2Reset))},
		{name: "h2: pings", peers: 2, act: insist(h2Hello(), []byte(strings.Repeat(string(h2(h2Ping, 0, 0, make([]byte, 8)...)), 1000)))},
		{name: "h2: pings whose answers nobody reads", peers: 2, act: pour(h2Hello(), []byte(strings.Repeat(string(h2(h2Ping, 0, 0, make([]byte, 8)...)), 1000)))},
		{name: "h2: settings", peers: 2, act: insist(h2Hello(), []byte(strings.Repeat(string(h2(h2Settings, 0, 0, 0, 4, 0, 0, 255, 255)), 1000)))},
		{name: "h2: priorities", peers: 2, act: insist(h2Hello(), []byte(strings.Repeat(string(h2(h2Priority, 0, 5, 0, 0, 0, 0, 1)), 1000)))},
		{name: "h2: empty data", lasting: true, peers: 2, act: insist(slices.Concat(h2Hello(), h2Call(1, "/Load/Echo", "")[:len(h2Call(1, "/Load/Echo", ""))-9]), []byte(strings.Repeat(string(h2(h2Data, 0, 1)), 1000)))},
		{name: "h2: headers without end", peers: 2, act: insist(append(h2Hello(), h2(h2Headers, 0, 1, 0x83)...), []byte(strings.Repeat(string(h2(h2Continuation, 0, 1, append([]byte{0, 1, 'a', 127, 0}, make([]byte, 127)...)...)), 100)))},
		{name: "h2: beginnings of frames", peers: 2, act: drip(200, append(h2Hello(), 0, 0x40, 0, 0, 0, 0, 0, 0, 1), nil)},
		{name: "h2: streams that nobody reads", peers: 8, act: pour(append(h2Hello(), ack...), streams(200, big))},
		{name: "h2: streams without a window", peers: 8, act: pour(append(h2Hello(0, 4, 0, 0, 0, 0), ack...), streams(200, big))},
		{name: "h2: slow calls", peers: 2, act: insist(append(h2Hello(), ack...), streams(200, func(n uint32) []byte { return h2Call(n, "/Load/Nap", "{}") }))},
		{name: "h2: windows", peers: 2, act: insist(h2Hello(), []byte(strings.Repeat(string(h2(h2Update, 0, 0, 0, 0, 0, 1)), 1000)))},
	}
}
