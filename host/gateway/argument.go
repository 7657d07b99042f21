package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// argument reads the argument of a call from the body, the query and the path of its request.
type argument struct {
	*request
	rejectUnknown bool // query parameters that the argument does not have
	payload       []byte
}

func (a *argument) read(d *destination) *code.Error {
	if a.query {
		if a.r.ProtoMajor == 2 && a.r.ContentLength != 0 {
			_ = a.r.Body.Close() // unread: net/http need not buffer it
		}
		return a.bindQuery(d)
	}
	if e := a.readBody(); e != nil {
		return e
	}
	wildcards := d != nil && len(d.wildcards) > 0
	if a.codec == wire.JSON && len(a.payload) == 0 {
		if !wildcards {
			return a.bad("the body is empty: send the argument as JSON, or {} if there is none")
		}
		a.payload = append(a.payload, "{}"...)
	}
	if a.isForm() {
		return a.bad("the body is not JSON: form fields are not supported")
	}
	if wildcards {
		return a.bindPath(d)
	}
	return nil
}

// isForm reports whether a body treated as JSON holds form fields, as `curl -d a=1` sends them.
func (a *argument) isForm() bool {
	if a.codec != wire.JSON || !strings.HasPrefix(a.r.Header.Get("Content-Type"), formType) {
		return false
	}
	name, _, ok := bytes.Cut(a.payload, []byte{'='})
	return ok && !bytes.ContainsAny(name, "{}[]\" \t\r\n")
}

var gzipMagic = []byte{0x1f, 0x8b}

// readBody reads the payload and decompresses it.
func (a *argument) readBody() *code.Error {
	gzipped, e := a.compressed()
	if e != nil {
		return e
	}
	limit := a.limits.MaxMessageBytes
	if a.r.ContentLength > int64(limit) {
		a.w.Header().Set("Connection", "close")
		return a.tooLong("body", limit, "maxMessageBytes")
	}
	body, err := a.readAll(a.payload, limit)
	if err != nil {
		return a.unreadable(err)
	}
	if !gzipped {
		a.payload = body
		return nil
	}
	if !bytes.HasPrefix(body, gzipMagic) {
		return a.bad("the body is not gzip")
	}
	if !a.holding.claim(wire.DecompressedSize(wire.Gzip, body, a.limits.MaxDecompressedBytes)) {
		return a.overloaded()
	}
	plain, err := wire.Decompress(nil, wire.Gzip, body, a.limits.MaxDecompressedBytes)
	a.payload = plain
	if err == nil {
		return nil
	}
	if c := code.From(err); c.Code == code.ResourceExhausted {
		return a.tooLong("decompressed body", a.limits.MaxDecompressedBytes, "maxDecompressedBytes")
	}
	return a.bad("the body is not gzip")
}

// tooLong returns the error for a body over a limit. The advice to operators names the field of the manifest.
func (a *argument) tooLong(what string, limit int, field string) *code.Error {
	size := fmt.Sprintf("%d bytes", limit)
	switch {
	case limit%(1<<20) == 0:
		size = fmt.Sprintf("%d MiB", limit>>20)
	case limit%(1<<10) == 0:
		size = fmt.Sprintf("%d KiB", limit>>10)
	}
	return a.tooLarge("the " + what + " is longer than " + size).WithAdvice("raise listeners[].limits." + field)
}

func (a *argument) unreadable(err error) *code.Error {
	a.w.Header().Set("Connection", "close")
	switch {
	case errors.Is(err, errTooLong):
		return a.tooLong("body", a.limits.MaxMessageBytes, "maxMessageBytes")
	case errors.Is(err, errNoRoom), errors.Is(err, errStalled):
		return a.overloaded()
	case errors.Is(err, os.ErrDeadlineExceeded) && a.late():
		return a.expired()
	case errors.Is(err, os.ErrDeadlineExceeded):
		a.status = http.StatusRequestTimeout
		return a.bad("timeout while reading the body")
	case a.r.Context().Err() != nil:
		return a.cancelled()
	}
	return a.bad("the body cannot be read")
}

// bindQuery builds the payload of a GET call.
func (a *argument) bindQuery(d *destination) *code.Error {
	query, err := url.ParseQuery(a.r.URL.RawQuery)
	if err != nil {
		return a.bad("the query string is malformed")
	}
	for _, w := range d.wildcards {
		query[w] = append(query[w], a.r.PathValue(w))
	}
	if a.rejectUnknown {
		if what := d.binder.unknown(query, a.router.nearest); what != "" {
			return a.bad(what)
		}
	}
	payload, what := d.binder.object(a.payload, query)
	a.payload = payload
	if what != "" {
		return a.bad(what)
	}
	return nil
}

// bindPath adds the path's wildcards to the members of the body. If the body has one too, the codec rejects it as a
// duplicate name.
func (a *argument) bindPath(d *destination) *code.Error {
	if a.codec != wire.JSON {
		return a.refuse(code.InvalidArgument, code.ReasonUnknownCodec, "this path takes JSON only")
	}
	query := make(url.Values, len(d.wildcards))
	for _, w := range d.wildcards {
		query[w] = []string{a.r.PathValue(w)}
	}
	members, what := d.binder.object(nil, query)
	if what != "" {
		return a.bad(what)
	}
	body := bytes.TrimSpace(a.payload)
	if len(body) < 2 || body[0] != '{' || body[len(body)-1] != '}' {
		return a.bad("the body is not a JSON object")
	}
	if len(bytes.TrimSpace(body[1:len(body)-1])) == 0 {
		a.payload = append(a.payload[:0], members...)
		return nil
	}
	body = append(body[:len(body)-1], ',')
	body = append(body, members[1:]...)
	a.payload = body
	return nil
}
