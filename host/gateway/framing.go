package gateway

import (
	"bytes"
	"strconv"
	"sync/atomic"
)

// framing follows the messages of HTTP/1 on a connection, for what net/http does not tell: which requests have both a
// length and a transfer encoding. It takes the framing that net/http takes, and does not follow what that refuses.
type framing struct {
	unclear atomic.Bool // a request had both, or the messages cannot be followed; stays so
	encoded atomic.Bool // a request had a transfer encoding; stays so

	// What follows belongs to the reader.
	at      part
	left    int64 // of a body or a chunk
	line    [48]byte
	n       int  // of line that is filled
	long    bool // the line has more than that
	length  int64
	chunked bool
}

// part is a part of a message.
type part byte

const (
	requestLine part = iota
	headerLine
	body
	chunkSize
	chunk
	chunkEnd
	trailer
	unknown // not followed any more
)

const (
	noLength = -1
	preface2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // what HTTP/2 begins with
)

// watch follows the next bytes of the peer. It returns how many of them are behind the beginning of HTTP/2, which is no
// message of HTTP/1; second reports whether there was one.
func (f *framing) watch(b []byte) (behind int, second bool) {
	for len(b) > 0 && f.at != unknown {
		if f.at == body || f.at == chunk {
			n := min(int64(len(b)), f.left)
			b, f.left = b[n:], f.left-n
			if f.left == 0 && f.at == body {
				f.at = requestLine
			} else if f.left == 0 {
				f.at = chunkEnd
			}
			continue
		}
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			f.keep(b)
			break
		}
		f.keep(b[:i])
		b = b[i+1:]
		line := bytes.TrimSuffix(f.line[:f.n], []byte{'\r'})
		if f.at == requestLine && string(line) == preface2[:len("PRI * HTTP/2.0")] {
			f.at = unknown
			return len(b), true
		}
		f.take(line)
		f.n, f.long = 0, false
	}
	return 0, false
}

// keep adds to the line as much as has room.
func (f *framing) keep(b []byte) {
	n := copy(f.line[f.n:], b)
	f.n += n
	f.long = f.long || n < len(b) && (n != len(b)-1 || b[n] != '\r')
}

// take goes on behind a whole line, of which it is given the beginning.
func (f *framing) take(line []byte) {
	switch f.at {
	case requestLine:
		if len(line) > 0 { // net/http overlooks empty lines between requests
			f.at, f.length, f.chunked = headerLine, noLength, false
		}
	case headerLine:
		f.header(line)
	case chunkSize:
		f.size(line)
	case chunkEnd:
		f.at = chunkSize
		if len(line) > 0 {
			f.lose()
		}
	case trailer:
		if len(line) == 0 {
			f.at = requestLine
		}
	case body, chunk, unknown: // are not made of lines
	}
}

// header takes a line of a message's head.
func (f *framing) header(line []byte) {
	if len(line) == 0 {
		f.begin()
		return
	}
	name, value, ok := bytes.Cut(line, []byte{':'})
	if line[0] == ' ' || line[0] == '\t' || !ok && !f.long {
		f.lose() // a value that goes on, or no header
		return
	}
	switch value = bytes.Trim(value, " \t"); {
	case bytes.EqualFold(name, []byte("Transfer-Encoding")):
		f.encoded.Store(true)
		f.chunked = true
		if f.long || !bytes.EqualFold(value, []byte("chunked")) {
			f.lose()
		}
	case bytes.EqualFold(name, []byte("Content-Length")):
		n, err := strconv.ParseUint(string(value), 10, 63)
		if f.long || err != nil || f.length != noLength && f.length != int64(n) {
			f.lose()
			return
		}
		f.length = int64(n)
	}
}

// begin goes on behind a head.
func (f *framing) begin() {
	switch {
	case f.chunked:
		f.at = chunkSize
		if f.length != noLength {
			f.unclear.Store(true)
		}
	case f.length > 0:
		f.at, f.left = body, f.length
	default:
		f.at = requestLine
	}
}

// size takes the line before a chunk.
func (f *framing) size(line []byte) {
	digits := len(line) - len(bytes.TrimLeft(line, "0123456789abcdefABCDEF"))
	n, err := strconv.ParseUint(string(line[:digits]), 16, 63)
	switch {
	case err != nil:
		f.lose()
	case n == 0:
		f.at = trailer
	default:
		f.at, f.left = chunk, int64(n)
	}
}

// lose stops following: what is not understood here may be understood otherwise elsewhere.
func (f *framing) lose() {
	f.at = unknown
	f.unclear.Store(true)
}
