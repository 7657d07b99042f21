package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	head    = "POST /Arith/Mul HTTP/1.1\r\nHost: x\r\n"
	chunked = head + "Transfer-Encoding: chunked\r\n\r\n7\r\n{\"a\":1}\r\n0\r\n\r\n"
	sized   = head + "Content-Length: 7\r\n\r\n{\"a\":1}"
)

// sendInTurn sends the requests one after the other on one connection, and returns how many got a 200 before the server
// closed it.
func sendInTurn(t *testing.T, addr string, requests ...string) (answered int) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for r := bufio.NewReader(conn); answered < len(requests); answered++ {
		if _, err := io.WriteString(conn, requests[answered]); err != nil {
			return answered
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return answered
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != 200 {
			t.Fatalf("request %d: status %d", answered, res.StatusCode)
		}
	}
	return answered
}

func TestChunkedRequestsShareAConnection(t *testing.T) {
	addr := serve(t, &backend{}, Options{})
	var mixed []string
	for i := range 500 {
		mixed = append(mixed, chunked)
		if i%3 == 0 {
			mixed = append(mixed, sized, head+"X-Long: "+strings.Repeat("x", 5000)+"\r\nTransfer-Encoding:chunked\r\nTrailer: X\r\n\r\n"+
				"007;a=b\r\n{\"a\":1}\r\n000\r\nX: 1\r\nContent-Length: 5\r\n\r\n")
		}
	}
	if n := sendInTurn(t, addr, mixed...); n != len(mixed) {
		t.Errorf("closed after %d of %d requests", n, len(mixed))
	}
	if statuses := sendRaw(t, addr, strings.Repeat(chunked+sized, 20)+head+"Connection: close\r\nContent-Length: 7\r\n\r\n{\"a\":1}"); len(statuses) != 41 {
		t.Errorf("%d answers to 41 pipelined requests", len(statuses))
	}
}

// A proxy in front may accept the framing that this server does not.
func TestARequestWithTwoFramingsEndsTheConnection(t *testing.T) {
	const both = "7\r\n{\"a\":1}\r\n0\r\n\r\n"
	for name, request := range map[string]string{
		"length first":         head + "Content-Length: 17\r\nTransfer-Encoding: chunked\r\n\r\n" + both,
		"encoding first":       head + "Transfer-Encoding: chunked\r\nContent-Length: 17\r\n\r\n" + both,
		"other case":           head + "tRANSFER-eNCODING: CHUNKED\r\ncONTENT-lENGTH: 17\r\n\r\n" + both,
		"bare line feeds":      strings.ReplaceAll(head, "\r", "") + "Content-Length: 17\nTransfer-Encoding: chunked\n\n" + both,
		"length of 0":          head + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + both,
		"blanks around":        head + "Content-Length:\t 17 \r\nTransfer-Encoding: \t chunked \r\n\r\n" + both,
		"many blanks":          head + "Content-Length:" + strings.Repeat(" ", 100) + "17\r\nTransfer-Encoding: chunked\r\n\r\n" + both,
		"a value on two lines": head + "Content-Length:\r\n 17\r\nTransfer-Encoding: chunked\r\n\r\n" + both,
		"behind a long header": head + "X: " + strings.Repeat("Content-Length: 1 ", 300) + "\r\nContent-Length: 17\r\nTransfer-Encoding: chunked\r\n\r\n" + both,
	} {
		t.Run(name, func(t *testing.T) {
			addr := serve(t, &backend{}, Options{})
			if n := sendInTurn(t, addr, chunked, sized, chunked, request, sized); n != 4 {
				t.Errorf("%d requests were answered, want 4 of 5", n)
			}
			b := &backend{}
			hidden := "POST /Arith/Div HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{\"a\":6,\"b\":3}"
			sendRaw(t, serve(t, b, Options{}), request+hidden)
			if f, _ := b.lastCall(); f.Method == "Div" {
				t.Error("what came with it was run")
			}
		})
	}
}

func TestATransferEncodingEndsAnHTTP10Connection(t *testing.T) {
	addr := serve(t, &backend{}, Options{})
	old := "POST /Arith/Mul HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n"
	length := old + "Content-Length: 7\r\n\r\n{\"a\":1}"
	if n := sendInTurn(t, addr, length, length, length); n != 3 {
		t.Errorf("%d plain requests were answered", n)
	}
	if n := sendInTurn(t, addr, length, old+"Transfer-Encoding: chunked\r\nContent-Length: 7\r\n\r\n{\"a\":1}", length); n != 2 {
		t.Errorf("%d requests were answered, want 2 of 3", n)
	}
}

func TestFramingIsParsedHoweverItsBytesArrive(t *testing.T) {
	for name, tc := range map[string]struct {
		bytes            string
		unclear, encoded bool
	}{
		"plain":      {strings.Repeat(sized+chunked, 3) + "\r\n\n" + sized, false, true},
		"two":        {chunked + head + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", true, true},
		"in a body":  {head + "Content-Length: 50\r\n\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", false, false},
		"in chunks":  {head + "Transfer-Encoding: chunked\r\n\r\n13\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", false, true},
		"same twice": {head + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", false, false},
		"not twice":  {head + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", true, false},
		"no number":  {head + "Content-Length: x\r\n\r\n", true, false},
		"gzip":       {head + "Transfer-Encoding: gzip\r\n\r\n", true, true},
		"bad chunk":  {head + "Transfer-Encoding: chunked\r\n\r\nx\r\n", true, true},
		"long chunk": {head + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n", true, true},
		"vast chunk": {head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", true, true},
		"no colon":   {head + "Content-Length 1\r\n\r\n", true, false},
	} {
		for _, size := range []int{1, 2, 3, 7, 64, len(tc.bytes)} {
			var f framing
			for rest := tc.bytes; rest != ""; {
				n := min(size, len(rest))
				f.watch([]byte(rest[:n]))
				rest = rest[n:]
			}
			if f.unclear.Load() != tc.unclear || f.encoded.Load() != tc.encoded {
				t.Errorf("%s, %d at a time: unclear %v, encoded %v", name, size, f.unclear.Load(), f.encoded.Load())
			}
		}
	}
}

func TestFramingAllocatesNothing(t *testing.T) {
	f := new(framing)
	b := []byte(fmt.Sprintf("%sX: %s\r\n\r\n%s", head, strings.Repeat("x", 200), chunked))
	if n := testing.AllocsPerRun(100, func() { f.watch(b) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
