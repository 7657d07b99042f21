package telemetry

import (
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// Keys of W3C Trace Context, in rpcx metadata as in HTTP headers (https://www.w3.org/TR/trace-context/).
const (
	metaTraceparent = "traceparent"
	metaTracestate  = "tracestate"
)

const (
	traceparentBytes = 55  // 00-TRACE-SPAN-FLAGS
	tracestateBytes  = 512 // what the specification asks everybody to pass on
	knownFlags       = trace.FlagsSampled | trace.FlagsRandom
)

// spanRef names a span of any process.
type spanRef struct {
	trace trace.TraceID
	span  trace.SpanID
	flags trace.TraceFlags
}

// parseTraceparent reads a traceparent of any version, as far as version 00 goes. Malformed ones are no trace at all.
func parseTraceparent(s string) (r spanRef, ok bool) {
	if len(s) < traceparentBytes || s[2] != '-' || s[35] != '-' || s[52] != '-' {
		return spanRef{}, false
	}
	var version, flags [1]byte
	if !unhex(version[:], s[:2]) || !unhex(r.trace[:], s[3:35]) || !unhex(r.span[:], s[36:52]) || !unhex(flags[:], s[53:55]) {
		return spanRef{}, false
	}
	switch {
	case version[0] == 0xff, version[0] == 0 && len(s) != traceparentBytes:
		return spanRef{}, false
	case len(s) > traceparentBytes && s[traceparentBytes] != '-':
		return spanRef{}, false
	}
	r.flags = trace.TraceFlags(flags[0]) & knownFlags
	ok = r.valid()
	return r, ok
}

func refOf(sc trace.SpanContext) spanRef {
	return spanRef{trace: sc.TraceID(), span: sc.SpanID(), flags: sc.TraceFlags()}
}

func (r *spanRef) valid() bool { return r.trace.IsValid() && r.span.IsValid() }

// String is r as a traceparent of version 00.
func (r *spanRef) String() string {
	b := append(make([]byte, 0, traceparentBytes), "00-"...)
	b = appendHex(b, r.trace[:])
	b = append(b, '-')
	b = appendHex(b, r.span[:])
	b = append(b, '-')
	b = appendHex(b, []byte{byte(r.flags)})
	return string(b)
}

const hexDigits = "0123456789abcdef"

func appendHex(dst, src []byte) []byte {
	for _, b := range src {
		dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
	}
	return dst
}

// unhex reads lower-case digits, the only ones that the specification allows.
func unhex(dst []byte, s string) bool {
	bad := byte(0)
	for i := range dst {
		hi, lo := nibbles[s[2*i]], nibbles[s[2*i+1]]
		dst[i] = hi<<4 | lo&15
		bad |= hi | lo
	}
	return bad < 16
}

// nibbles are the values of the digits, and of all else something that is no nibble.
var nibbles = func() (all [256]byte) {
	for i := range all {
		all[i] = 0xff
	}
	for i, c := range []byte(hexDigits) {
		all[c] = byte(i)
	}
	return all
}()

// passable is a tracestate that may be passed on unread; "" for one that is no list of printable key=value pairs.
func passable(state string) string {
	if len(state) > tracestateBytes || strings.IndexByte(state, '=') <= 0 {
		return ""
	}
	for i := range len(state) {
		if c := state[i]; c < ' ' && c != '\t' || c > '~' {
			return ""
		}
	}
	return state
}
