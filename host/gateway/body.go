package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// readArgument fills the frame's payload: from the body, from the query of a GET, and from the path's wildcards.
func (x *exchange) readArgument(b *bound) *code.Error {
	if x.query {
		if x.r.ProtoMajor == 2 && x.r.ContentLength != 0 {
			_ = x.r.Body.Close() // nobody reads it: net/http need not keep what comes of it
		}
		return x.bindQuery(b)
	}
	if e := x.readBody(); e != nil {
		return e
	}
	wildcards := b != nil && len(b.wildcards) > 0
	if x.codec == wire.JSON && len(x.req.Payload) == 0 {
		if !wildcards {
			return x.bad("the body is empty: send the argument as JSON, {} for none")
		}
		x.req.Payload = append(x.req.Payload, "{}"...)
	}
	if wildcards {
		return x.bindPath(b)
	}
	return nil
}

// readBody reads the payload and takes its compression off.
func (x *exchange) readBody() *code.Error {
	gzipped, e := x.compressed()
	if e != nil {
		return e
	}
	limit := x.g.limits.MaxMessageBytes
	if x.r.ContentLength > int64(limit) {
		x.w.Header().Set("Connection", "close")
		return x.tooLong("body", limit, "maxMessageBytes")
	}
	body, err := x.readAll(limit)
	if err != nil {
		return x.unreadable(err)
	}
	if !gzipped {
		x.req.Payload = body
		return nil
	}
	if !bytes.HasPrefix(body, gzipMagic) {
		return x.bad("the body is no gzip")
	}
	if !x.holding.claim(wire.DecompressedSize(wire.Gzip, body, x.g.limits.MaxDecompressedBytes)) {
		return x.overloaded()
	}
	plain, err := wire.Decompress(nil, wire.Gzip, body, x.g.limits.MaxDecompressedBytes)
	x.req.Payload = plain
	if err == nil {
		return nil
	}
	if c := code.From(err); c.Code == code.ResourceExhausted {
		return x.tooLong("decompressed body", x.g.limits.MaxDecompressedBytes, "maxDecompressedBytes")
	}
	return x.bad("the body is no gzip")
}

// readBy bounds the reading of the body, also by net/http when the gateway leaves it unread. Only a body that was read
// to its end takes the bound off again.
func (x *exchange) readBy(t time.Time) {
	_ = http.NewResponseController(x.w).SetReadDeadline(t) // not there in tests with a recorder
}

var gzipMagic = []byte{0x1f, 0x8b}

var (
	errTooLong = errors.New("body too long") // of unknown length, and over its limit
	errNoRoom  = errors.New("no room for the body")
	errStalled = errors.New("nothing of the body came while memory was short")
)

// firstRead is how much memory a body gets before any of its bytes have come.
const firstRead = 4 << 10

// readAll reads the whole body into the memory of the frame's payload. Memory is committed as bytes arrive.
func (x *exchange) readAll(limit int) ([]byte, error) {
	buf := x.req.Payload[:0]
	if x.r.ContentLength == 0 {
		return buf, nil
	}
	first := firstRead
	if n := x.r.ContentLength; n > 0 && n < firstRead {
		first = int(n) + 1 // one more, so that the end is seen without growing
	}
	if !x.holding.take(first) {
		return nil, errNoRoom
	}
	buf = slices.Grow(buf, first)
	n, err := x.r.Body.Read(buf[:cap(buf)])
	if buf = buf[:n]; err == nil {
		buf, err = x.readOn(buf, limit)
	}
	x.holding.hasRead()
	switch {
	case len(buf) > limit:
		return nil, errTooLong
	case !errors.Is(err, io.EOF):
		return nil, err
	}
	x.readBy(time.Time{})
	return buf, nil
}

// readOn reads the rest of a body of which the first bytes are in buf. Its error is io.EOF at the end.
func (x *exchange) readOn(buf []byte, limit int) (_ []byte, err error) {
	t := &x.transfer
	if c := x.holding.conn; c != nil {
		t.conn, t.w, t.answer = c, x.w, false
		c.server.transfers.begin(t)
		defer func() {
			if c.server.transfers.leave(t) && errors.Is(err, os.ErrDeadlineExceeded) {
				err = errStalled
			}
		}()
	}
	for err == nil && len(buf) <= limit {
		if len(buf) == cap(buf) {
			if !x.holding.take(len(buf)) {
				return buf, errNoRoom
			}
			buf = append(make([]byte, 0, 2*len(buf)), buf...) // no more than was taken
		}
		var n int
		if n, err = x.r.Body.Read(buf[len(buf):cap(buf)]); n > 0 {
			buf = buf[:len(buf)+n]
			t.at.Store(time.Now().UnixNano())
		}
	}
	return buf, err
}

// tooLong names the limit that a body is over, and to operators its field in a manifest.
func (x *exchange) tooLong(what string, limit int, field string) *code.Error {
	size := fmt.Sprintf("%d bytes", limit)
	switch {
	case limit%(1<<20) == 0:
		size = fmt.Sprintf("%d MiB", limit>>20)
	case limit%(1<<10) == 0:
		size = fmt.Sprintf("%d KiB", limit>>10)
	}
	return x.tooLarge("the " + what + " is longer than " + size).WithAdvice("listeners[].limits." + field + " allows more")
}

func (x *exchange) unreadable(err error) *code.Error {
	x.w.Header().Set("Connection", "close")
	switch {
	case errors.Is(err, errTooLong):
		return x.tooLong("body", x.g.limits.MaxMessageBytes, "maxMessageBytes")
	case errors.Is(err, errNoRoom), errors.Is(err, errStalled):
		return x.overloaded()
	case errors.Is(err, os.ErrDeadlineExceeded) && x.late():
		return x.expired()
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.status = http.StatusRequestTimeout
		return x.bad("the body did not come in time")
	case x.r.Context().Err() != nil:
		return x.refuse(code.Cancelled, code.ReasonCancelled, "the caller went away")
	}
	return x.bad("the body cannot be read")
}

// compressed tells whether the body is gzipped, by Content-Encoding or by the family's header.
func (x *exchange) compressed() (bool, *code.Error) {
	byFamily := x.family != nil && x.family.get(x.r.Header, famCompress) == "1"
	encodings := x.r.Header["Content-Encoding"]
	if len(encodings) == 0 {
		return byFamily, nil
	}
	switch e := strings.ToLower(strings.TrimSpace(strings.Join(encodings, ","))); e {
	case "gzip", "x-gzip":
		return true, nil
	case "", "identity":
		return byFamily, nil
	}
	x.w.Header().Set("Accept-Encoding", "gzip")
	return false, x.refuse(code.InvalidArgument, code.ReasonUnknownCodec, "the content encoding is not supported, use gzip or none")
}

// bindQuery makes the payload of a call by GET.
func (x *exchange) bindQuery(b *bound) *code.Error {
	query, err := url.ParseQuery(x.r.URL.RawQuery)
	if err != nil {
		return x.bad("the query string cannot be read")
	}
	for _, w := range b.wildcards {
		query[w] = append(query[w], x.r.PathValue(w))
	}
	if x.g.rejectUnknown {
		if what := b.unknown(query, x.g.nearest); what != "" {
			return x.bad(what)
		}
	}
	payload, what := b.binder.object(x.req.Payload[:0], query)
	x.req.Payload = payload
	if what != "" {
		return x.bad(what)
	}
	return nil
}

// bindPath adds the path's wildcards to the members of the body. A body that has one of them too is bad: the codec takes no
// name twice.
func (x *exchange) bindPath(b *bound) *code.Error {
	if x.codec != wire.JSON {
		return x.refuse(code.InvalidArgument, code.ReasonUnknownCodec, "this path takes JSON only")
	}
	query := make(url.Values, len(b.wildcards))
	for _, w := range b.wildcards {
		query[w] = []string{x.r.PathValue(w)}
	}
	members, what := b.binder.object(nil, query)
	if what != "" {
		return x.bad(what)
	}
	body := bytes.TrimSpace(x.req.Payload)
	if len(body) < 2 || body[0] != '{' || body[len(body)-1] != '}' {
		return x.bad("the body is no JSON object")
	}
	if len(bytes.TrimSpace(body[1:len(body)-1])) == 0 {
		x.req.Payload = append(x.req.Payload[:0], members...)
		return nil
	}
	body = append(body[:len(body)-1], ',')
	body = append(body, members[1:]...)
	x.req.Payload = body
	return nil
}
