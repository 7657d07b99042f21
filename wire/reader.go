package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
)

// Reader reads the frames of a connection. While it waits for a frame its buffer is small; for more data it takes a larger
// one from a pool. Memory grows with the bytes that have arrived, not with what a header claims. A Reader is not safe for
// concurrent use.
type Reader struct {
	// OnBody, if not nil, is called at most once for each frame, when its first bytes have arrived but not the rest. Use it
	// to set the read deadline for the rest; set the one for the start of a frame before Read.
	OnBody func()

	src    io.Reader
	lim    Limits
	names  interner
	grower grower // nil without a budget
	held   int    // bytes taken for the current or the last frame

	buf        []byte // small or *big
	big        *bigBuffer
	pos, end   int  // of the unread bytes in buf
	bodyCalled bool // OnBody has been called for this frame
	begun      bool // bytes of this frame have been taken from buf
	small      [smallBytes]byte
}

const (
	smallBytes = 1 << 10
	bigBytes   = 32 << 10
	firstStep  = 4 << 10 // initial memory for a long body; it doubles as bytes arrive
)

// grower grants memory beyond a Reader's small buffer.
type grower interface {
	tryGrow(n int) bool
	grow(n int) *FrameError // may wait a moment; an error refuses the frame
	shrink(n int)
}

type bigBuffer [bigBytes]byte

var bigBuffers = sync.Pool{New: func() any { return new(bigBuffer) }}

// NewReader returns a Reader that reads from src. Call Release when done.
func NewReader(src io.Reader, lim Limits) *Reader {
	r := &Reader{src: src, lim: lim.WithDefaults()}
	r.buf = r.small[:]
	return r
}

// Buffered returns the number of bytes in the buffer.
func (r *Reader) Buffered() int { return r.end - r.pos }

// hasFrame reports whether the next Read needs not read from the connection.
func (r *Reader) hasFrame() bool {
	if r.Buffered() < HeaderBytes {
		return false
	}
	return uint64(r.Buffered()) >= HeaderBytes+uint64(binary.BigEndian.Uint32(r.buf[r.pos+HeaderBytes-4:]))
}

// Release frees the buffer. The Reader must not be used afterwards.
func (r *Reader) Release() {
	r.shrink()
	r.giveBack()
}

// handOver returns the bytes held for the last frame, which the caller must return to the budget.
func (r *Reader) handOver() (held int64) {
	held = int64(r.held)
	r.held = 0
	return held
}

// holds reports whether the current frame holds memory beyond the small buffer.
func (r *Reader) holds() bool { return r.held > 0 || r.big != nil }

func (r *Reader) giveBack() {
	if r.held > 0 {
		r.grower.shrink(r.held)
		r.held = 0
	}
}

// Read resets f and reads the next frame into it. The payload does not alias the buffer. Read returns io.EOF at the end of
// input between frames and io.ErrUnexpectedEOF within one, the errors of the connection unchanged, and a *FrameError for a
// bad frame. After one that is not fatal, f has the fields of the header, and the next Read returns the next frame.
func (r *Reader) Read(f *Frame) error {
	f.Reset()
	r.bodyCalled, r.begun = false, false
	if err := r.fill(HeaderBytes); err != nil {
		return err
	}
	total, bad := parseHeader(r.buf[r.pos:r.end], f)
	if bad == nil {
		bad = checkTotal(total, &r.lim)
	}
	if bad != nil && bad.Fatal {
		return bad
	}
	if bad != nil {
		r.take(HeaderBytes)
		return r.skip(int64(total), bad)
	}
	if HeaderBytes+int(total) > bigBytes {
		return r.readLong(f, int(total))
	}
	err := r.fill(HeaderBytes + int(total))
	if errors.Is(err, errNoBuffer) {
		return r.readLong(f, int(total))
	}
	if err != nil {
		return err
	}
	body := r.buf[r.pos+HeaderBytes : r.pos+HeaderBytes+int(total)]
	r.pos += HeaderBytes + int(total)
	payload, bad := parseBody(body, f, &r.lim, &r.names)
	if bad != nil {
		return bad
	}
	f.Payload = append(f.Payload, payload...)
	return nil
}

// errNoBuffer means that the budget has no memory for a big buffer.
var errNoBuffer = errors.New("no memory for a buffer")

// readLong reads a body that does not fit into the buffer directly into the memory of f.
func (r *Reader) readLong(f *Frame, total int) error {
	r.take(HeaderBytes)
	n := min(total, max(r.Buffered(), cap(f.Payload)))
	if bad := r.hold(n); bad != nil {
		return r.skip(int64(total), bad)
	}
	body := f.Payload[:0]
	if cap(body) < n {
		body = make([]byte, 0, n)
	}
	body = append(body, r.take(total)...)
	if r.Buffered() == 0 {
		r.shrink()
	}
	for len(body) < total {
		if len(body) == cap(body) {
			more := min(total-len(body), max(len(body), firstStep))
			if bad := r.hold(more); bad != nil {
				return r.skip(int64(total-len(body)), bad)
			}
			body = append(make([]byte, 0, len(body)+more), body...) // append would round up to more than is held
		}
		n, err := r.read(body[len(body):min(cap(body), total)])
		body = body[:len(body)+n]
		if err != nil {
			return err
		}
	}
	payload, bad := parseBody(body, f, &r.lim, &r.names)
	if bad != nil {
		return bad
	}
	f.Payload = payload
	return nil
}

// hold takes n more bytes of the budget for the current frame.
func (r *Reader) hold(n int) *FrameError {
	if r.grower == nil {
		return nil
	}
	if bad := r.grower.grow(n); bad != nil {
		return bad
	}
	r.held += n
	return nil
}

// skip discards the rest of a valid frame that is refused, and returns bad.
func (r *Reader) skip(total int64, bad *FrameError) error {
	r.giveBack()
	for {
		total -= int64(len(r.take(int(min(total, bigBytes)))))
		if total == 0 {
			return bad
		}
		if r.end == len(r.buf) && r.big == nil {
			r.enlarge()
		}
		r.pos, r.end = 0, 0
		n, err := r.read(r.buf)
		r.end = n
		if err != nil {
			return err
		}
	}
}

// take returns up to n of the buffered bytes, valid until the next read.
func (r *Reader) take(n int) []byte {
	n = min(n, r.Buffered())
	b := r.buf[r.pos : r.pos+n]
	r.pos += n
	r.begun = true
	return b
}

// fill reads until n bytes are buffered; n is at most bigBytes.
func (r *Reader) fill(n int) error {
	for r.Buffered() < n {
		if err := r.more(); err != nil {
			return err
		}
	}
	return nil
}

// more reads once into the buffer. It replaces a full small buffer by a big one, if there is memory for it, until all of
// that has been consumed.
func (r *Reader) more() error {
	switch {
	case r.pos == r.end:
		r.shrink()
	case r.end == len(r.buf) && r.big == nil:
		if !r.enlarge() && r.pos == 0 {
			return errNoBuffer
		}
	}
	if r.pos > 0 {
		r.moveTo(r.buf)
	}
	n, err := r.read(r.buf[r.end:])
	r.end += n
	return err
}

// enlarge switches to a big buffer, and reports whether there was memory for it.
func (r *Reader) enlarge() bool {
	if r.grower != nil && !r.grower.tryGrow(bigBytes) {
		return false
	}
	r.big = bigBuffers.Get().(*bigBuffer)
	r.moveTo(r.big[:])
	return true
}

func (r *Reader) moveTo(buf []byte) {
	r.end = copy(buf, r.buf[r.pos:r.end])
	r.pos, r.buf = 0, buf
}

func (r *Reader) shrink() {
	r.pos, r.end, r.buf = 0, 0, r.small[:]
	if r.big != nil {
		bigBuffers.Put(r.big)
		r.big = nil
		if r.grower != nil {
			r.grower.shrink(bigBytes)
		}
	}
}

// read reads at least one byte into b, or fails.
func (r *Reader) read(b []byte) (int, error) {
	within := r.begun || r.Buffered() > 0
	if within && !r.bodyCalled && r.OnBody != nil {
		r.bodyCalled = true
		r.OnBody()
	}
	for range maxEmptyReads {
		n, err := r.src.Read(b)
		if n > 0 {
			return n, nil
		}
		if err == io.EOF && within {
			return 0, io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

const maxEmptyReads = 100

// wait waits for the first n bytes of a frame. It returns the errors of Read.
func (r *Reader) wait(n int) error {
	r.bodyCalled, r.begun = false, false
	return r.fill(n)
}

// buffer reads until a whole frame is in the buffer, which the next Read then takes. After an error such as a timeout it may
// be called again. It returns false if the frame does not fit.
func (r *Reader) buffer() (whole bool, err error) {
	if err := r.wait(HeaderBytes); err != nil {
		return false, err
	}
	total := binary.BigEndian.Uint32(r.buf[r.pos+HeaderBytes-4:])
	if total > bigBytes-HeaderBytes {
		return false, nil
	}
	err = r.fill(HeaderBytes + int(total))
	return err == nil, err
}
