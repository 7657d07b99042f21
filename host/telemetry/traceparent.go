package telemetry

import (
	"encoding/hex"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/easymicro/easymicro/wire"
)

// Keys of W3C Trace Context, in rpcx metadata as in HTTP headers (https://www.w3.org/TR/trace-context/).
const (
	metaTraceparent = "traceparent"
	metaTracestate  = "tracestate"
)

const (
	traceparentBytes = 55  // 00-TRACE-SPAN-FLAGS
	tracestateBytes  = 512 // the minimum length that the specification asks implementations to propagate
	knownFlags       = trace.FlagsSampled | trace.FlagsRandom
)

// spanRef identifies a span of any process.
type spanRef struct {
	trace trace.TraceID
	span  trace.SpanID
	flags trace.TraceFlags
}

// parseTraceparent parses the version 00 fields of a traceparent of any version. A malformed one counts as none.
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

// String returns r as a traceparent of version 00.
func (r *spanRef) String() string {
	b := append(make([]byte, 0, traceparentBytes), "00-"...)
	b = append(hex.AppendEncode(b, r.trace[:]), '-')
	b = append(hex.AppendEncode(b, r.span[:]), '-')
	b = hex.AppendEncode(b, []byte{byte(r.flags)})
	return string(b)
}

// unhex decodes lower-case digits, the only ones that the specification allows.
func unhex(dst []byte, s string) bool {
	_, err := hex.Decode(dst, []byte(s))
	return err == nil && !strings.ContainsAny(s, "ABCDEF")
}

// validTracestate returns state if it may be propagated unparsed, and "" if it is not a list of printable key=value pairs.
func validTracestate(state string) string {
	unprintable := func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }
	if len(state) > tracestateBytes || strings.IndexByte(state, '=') <= 0 || strings.ContainsFunc(state, unprintable) {
		return ""
	}
	return state
}

// inject writes a traceparent and its tracestate. Existing pairs of m may belong to a forwarded request that is read
// concurrently, so they are replaced in a copy.
func inject(traceparent, tracestate string, m *wire.Metadata) {
	if replaces(*m, metaTraceparent, traceparent) || replaces(*m, metaTracestate, tracestate) {
		*m = slices.Clone(*m)
	}
	m.Set(metaTraceparent, traceparent)
	if tracestate == "" {
		m.Del(metaTracestate) // belongs to another trace
		return
	}
	m.Set(metaTracestate, tracestate)
}

func replaces(m wire.Metadata, key, value string) bool {
	old, ok := m.Lookup(key)
	return ok && old != value
}

func injectContext(sc trace.SpanContext, req *wire.Frame) {
	ref := refOf(sc)
	inject(ref.String(), sc.TraceState().String(), &req.Metadata)
}
