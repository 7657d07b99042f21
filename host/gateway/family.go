package gateway

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// The headers of a family, without its prefix.
const (
	famVersion       = "Version"
	famMessageID     = "Messageid"
	famHeartbeat     = "Heartbeat"
	famOneWay        = "Oneway"
	famCompress      = "Compresstype"
	famSerializeType = "Serializetype"
	famServicePath   = "Servicepath"
	famServiceMethod = "Servicemethod"
	famMeta          = "Meta"
	famStatus        = "Messagestatustype"
	famError         = "Errormessage"
)

// family is a set of headers that HTTP gateways before this one understand. Its keys are canonical, so that they may be
// looked up in the map of a http.Header.
type family struct {
	prefix string
	keys   map[string]string
	empty  []string // headers that answers have without a value too, since its gateways do it
}

func newFamily(prefix string, empty ...string) *family {
	f := &family{prefix: prefix, keys: make(map[string]string), empty: empty}
	for _, k := range []string{
		famVersion, famMessageID, famHeartbeat, famOneWay, famCompress, famSerializeType, famServicePath,
		famServiceMethod, famMeta, famStatus, famError,
	} {
		f.keys[k] = prefix + k
	}
	return f
}

var (
	easymicroFamily = newFamily("Easymicro-")
	rpcxFamily      = newFamily("X-Rpcx-", famVersion, famMeta)
)

// familyOf is the family of which a request has any header; nil for plain requests.
func familyOf(h http.Header) *family {
	var found *family
	for k := range h {
		if strings.HasPrefix(k, easymicroFamily.prefix) {
			return easymicroFamily
		}
		if strings.HasPrefix(k, rpcxFamily.prefix) {
			found = rpcxFamily
		}
	}
	return found
}

func (f *family) get(h http.Header, key string) string {
	if v := h[f.keys[key]]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// set sets a header of an answer, unless there is nothing to say and nobody to expect that.
func (f *family) set(h http.Header, key, value string) {
	if value != "" || slices.Contains(f.empty, key) {
		h[f.keys[key]] = []string{value}
	}
}

// flag reads a header that those gateways take for set whatever it says; a written no is a no here.
func (f *family) flag(h http.Header, key string) bool {
	v := f.get(h, key)
	on, err := strconv.ParseBool(v)
	return v != "" && (on || err != nil)
}

// readFamily takes from the family's headers what becomes part of the frame, except metadata and codec.
func (x *exchange) readFamily() *code.Error {
	if x.family == nil {
		return nil
	}
	h := x.r.Header
	x.oneWay = x.family.flag(h, famOneWay)
	if id := x.family.get(h, famMessageID); id != "" {
		if _, err := strconv.ParseUint(id, 10, 64); err != nil {
			return x.bad("the header " + x.family.keys[famMessageID] + " is no number of 64 bits")
		}
	}
	return nil
}

// readSerializeType is the codec of the family's header; ok tells whether there was one.
func (x *exchange) readSerializeType() (ok bool, e *code.Error) {
	if x.family == nil {
		return false, nil
	}
	v := x.family.get(x.r.Header, famSerializeType)
	if v == "" {
		return false, nil
	}
	n, err := strconv.ParseUint(v, 10, 8)
	if err != nil || n > uint64(wire.Thrift) {
		return true, x.refuse(code.InvalidArgument, code.ReasonUnknownCodec,
			"the header "+x.family.keys[famSerializeType]+" is none of 0 (raw), 1 (json), 2 (protobuf), 3 (msgpack), 4 (thrift)")
	}
	x.codec = wire.Codec(n)
	return true, nil
}

// echoFamily sets the family's headers that every answer has. They repeat what was asked, as those gateways do it.
func (x *exchange) echoFamily() {
	f, in, out := x.family, x.r.Header, x.w.Header()
	f.set(out, famVersion, headerText(f.get(in, famVersion)))
	f.set(out, famMessageID, f.get(in, famMessageID))
	f.set(out, famSerializeType, strconv.Itoa(int(x.codec)))
	f.set(out, famServicePath, headerText(x.service))
	f.set(out, famServiceMethod, headerText(x.method))
}

// echoError sets the family's headers of an error.
func (x *exchange) echoError(text string) {
	x.echoFamily()
	x.family.set(x.w.Header(), famStatus, "Error")
	x.family.set(x.w.Header(), famError, headerText(text))
}

// replyMeta is reply metadata as a query string.
func replyMeta(m wire.Metadata) string {
	var b strings.Builder
	for _, p := range m {
		if reserved(p[0]) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(url.QueryEscape(p[0]))
		b.WriteByte('=')
		b.WriteString(url.QueryEscape(p[1]))
	}
	return b.String()
}

// maxHeaderText bounds texts that travel in a header.
const maxHeaderText = 4 << 10

// headerText makes s fit into one header line.
func headerText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, code.Clip(s, maxHeaderText))
	return strings.TrimSpace(s)
}
