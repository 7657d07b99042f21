package gateway

import (
	"bytes"
	"strconv"
	"sync/atomic"
	"time"
)

// framing parses the HTTP/1 messages on a connection, to detect what net/http does not report: requests with both a length
// and a transfer encoding. It accepts the framing that net/http accepts, and stops where net/http rejects a message.
type framing struct {
	unclear  atomic.Bool  // a request had both, or the messages cannot be followed; never reset
	encoded  atomic.Bool  // a request had a transfer encoding; never reset
	requests atomic.Int64 // twice the requests of which the first line is read, and 1 if another has begun

	// The rest belongs to the reader.
	at      part
	left    int64 // of a body or a chunk
	line    [48]byte
	n       int  // bytes of line
	long    bool // the line is longer than that
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
	unknown // no longer followed
)

const (
	noLength = -1
	preface2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // the connection preface of HTTP/2
)

// watch parses the next bytes of the peer. When they switch to HTTP/2, second is true, and behind is the number of bytes
// after the first line of its preface.
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
			if f.at == requestLine && f.requests.Load()%2 == 0 {
				f.requests.Add(1)
			}
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

// whole reports whether the bytes so far end with a message. Only the reader may call it.
func (f *framing) whole() bool { return f.at == requestLine && f.n == 0 }

// begun reports whether a request after the first n has begun.
func (f *framing) begun(n int64) bool { return f.requests.Load() != 2*n }

// keep appends to the line as much as fits.
func (f *framing) keep(b []byte) {
	n := copy(f.line[f.n:], b)
	f.n += n
	f.long = f.long || n < len(b) && (n != len(b)-1 || b[n] != '\r')
}

// take moves on after a whole line, given its beginning.
func (f *framing) take(line []byte) {
	switch f.at {
	case requestLine:
		f.requests.Store(f.requests.Load() &^ 1)
		if len(line) > 0 { // net/http skips empty lines between requests
			f.requests.Add(2)
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
	case body, chunk, unknown: // do not consist of lines
	}
}

// header reads a header line.
func (f *framing) header(line []byte) {
	if len(line) == 0 {
		f.begin()
		return
	}
	name, value, ok := bytes.Cut(line, []byte{':'})
	if line[0] == ' ' || line[0] == '\t' || !ok && !f.long {
		f.lose() // a folded value, or not a header
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

// begin moves on after the headers.
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

// size reads the line before a chunk.
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

// lose gives up: another implementation may parse this differently.
func (f *framing) lose() {
	f.at = unknown
	f.unclear.Store(true)
}

// Types and flags of HTTP/2's frames (RFC 9113, 6).
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameContinuation = 0x9
	flagEndHeaders    = 0x4

	frameHeaderBytes = 9
)

// frameGoAway announces that a peer makes no more requests. net/http replies with its own, finishes the open streams, and
// closes.
var frameGoAway = []byte{0, 0, 8, 0x7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// cursor finds the frames of HTTP/2 in a stream of bytes.
type cursor struct {
	left   int // of a payload
	header [frameHeaderBytes]byte
	n      int // bytes of header
}

// next skips to the end of a payload or a header, and reports whether that completes the header of a frame.
func (c *cursor) next(b []byte) (rest []byte, begins bool) {
	if c.left > 0 {
		n := min(len(b), c.left)
		c.left -= n
		return b[n:], false
	}
	n := copy(c.header[c.n:], b)
	if c.n += n; c.n < frameHeaderBytes {
		return b[n:], false
	}
	c.n = 0
	c.left = int(c.header[0])<<16 | int(c.header[1])<<8 | int(c.header[2])
	return b[n:], true
}

// answers finds responses among the frames that a server sends.
type answers struct {
	cursor
	within bool // the payload belongs to a response
}

// watch parses the next bytes of the server, and returns how many belong to responses.
func (a *answers) watch(b []byte) (n int) {
	for len(b) > 0 {
		rest, begins := a.next(b)
		switch {
		case begins:
			kind := a.header[3]
			a.within = kind == frameData || kind == frameHeaders || kind == frameContinuation
		case a.within && a.n == 0:
			n += len(b) - len(rest)
		}
		b = rest
	}
	return n
}

// frames parses the HTTP/2 frames that a peer sends.
type frames struct {
	allowance allowance

	// began is when the incomplete frame or header block began, an instant, with the lowest bit set for
	// headers; 0 between two frames.
	began atomic.Int64

	// The rest belongs to the reader.
	cursor
	headers bool // the last frame is one of headers
	block   bool // a header block has begun and not ended
}

// newFrames starts after the first line of the preface.
func newFrames() *frames {
	f := new(frames)
	f.left = len(preface2) - len("PRI * HTTP/2.0\r\n")
	f.allowance.start()
	return f
}

// watch parses the next bytes of the peer, and returns how many frames begin in them.
func (f *frames) watch(b []byte) (count int) {
	for len(b) > 0 {
		var begins bool
		if b, begins = f.next(b); begins {
			f.begin()
			count++
		}
	}
	f.mark()
	return count
}

func (f *frames) begin() {
	f.headers = f.header[3] == frameHeaders || f.header[3] == frameContinuation
	if f.headers {
		f.block = f.header[4]&flagEndHeaders == 0
	}
}

// mark records when an incomplete frame or header block began.
func (f *frames) mark() {
	began := f.began.Load()
	switch {
	case f.between():
		began, f.headers = 0, false
	case began == 0:
		began = instant(time.Now())
	}
	if began &^= 1; f.headers {
		began |= 1
	}
	f.began.Store(began)
}

// between reports whether the bytes so far end with a frame, outside of a header block.
func (f *frames) between() bool { return f.left == 0 && f.n == 0 && !f.block }

// stalled reports whether the rest of a frame is overdue: after headerTimeout for headers, and bodyTimeout for others.
func (f *frames) stalled(now time.Time, bodyTimeout time.Duration) bool {
	began := f.began.Load()
	if began&1 != 0 {
		bodyTimeout = headerTimeout
	}
	return began != 0 && now.Sub(timeOf(began)) > bodyTimeout
}

const (
	frameBurst      = 1000 // frames that a peer may send at once
	framesPerSecond = 200  // refill
	framesPerAnswer = 16   // refill for an answered request
	bytesPerFrame   = 512  // transferred bytes that refill one frame

	floodTimeout = 10 * time.Second // how long a peer may have fewer than frameBurst/10 frames left
)

// allowance is a token bucket for the frames of a peer. Answered requests and transferred bytes earn as many frames as they
// need, while a flood of PING, SETTINGS or RST_STREAM is read slowly.
type allowance struct {
	earned atomic.Int64 // in bytes, not added yet

	// The rest belongs to the reader.
	left int64
	at   time.Time
	low  time.Time // since when few have been left at each refill; zero: not
}

func (a *allowance) start() { a.left, a.at = frameBurst, time.Now() }

// earn adds the frames for transferred bytes.
func (a *allowance) earn(bytes int) { a.earned.Add(int64(bytes)) }

// take consumes n frames, and returns how long the peer has to wait before the next.
func (a *allowance) take(n int) time.Duration {
	if a.left -= int64(n); a.left > 0 {
		return 0
	}
	now := time.Now()
	grown := int64(now.Sub(a.at) / (time.Second / framesPerSecond))
	a.at = a.at.Add(time.Duration(grown) * (time.Second / framesPerSecond))
	earned := a.earned.Swap(0)
	a.earned.Add(earned % bytesPerFrame)
	a.left = min(a.left+grown+earned/bytesPerFrame, frameBurst)
	if a.left >= frameBurst/10 {
		a.low = time.Time{}
	} else if a.low.IsZero() {
		a.low = now
	}
	if a.left > 0 {
		return 0
	}
	return time.Duration(1-a.left) * (time.Second / framesPerSecond)
}

// exceeded reports whether the peer has sent more than its allowance for floodTimeout.
func (a *allowance) exceeded() bool { return !a.low.IsZero() && a.at.Sub(a.low) > floodTimeout }
