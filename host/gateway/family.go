package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

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

// family is a set of headers that earlier HTTP gateways of rpcx understand. Its keys are canonical, for look-ups in the
// map of an http.Header.
type family struct {
	prefix string
	keys   map[string]string
	empty  []string // headers that responses have even without a value, as from its gateways
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

// familyOf returns the family of which a request has a header; nil for plain requests.
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

// set sets a header of a response, unless it is empty and clients do not expect it.
func (f *family) set(h http.Header, key, value string) {
	if value != "" || slices.Contains(f.empty, key) {
		h[f.keys[key]] = []string{value}
	}
}

// flag reports whether a header is set. Those gateways accept any value as true; here, one that parses as false is false.
func (f *family) flag(h http.Header, key string) bool {
	v := f.get(h, key)
	on, err := strconv.ParseBool(v)
	return v != "" && (on || err != nil)
}

// maxHeaderText bounds texts that are sent in a header.
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
