package telemetry

import (
	"net"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/easymicro/easymicro/wire/code"
)

// Attribute names of OpenTelemetry's conventions for RPC spans, in the version of schemaURL. The constants of the library
// change from version to version.
const (
	schemaURL = "https://opentelemetry.io/schemas/1.45.0"

	attrSystem         = attribute.Key("rpc.system.name")
	attrMethod         = attribute.Key("rpc.method")
	attrMethodOriginal = attribute.Key("rpc.method_original")
	attrStatusCode     = attribute.Key("rpc.status_code")
	attrErrorType      = attribute.Key("error.type")
	attrServerAddress  = attribute.Key("server.address")
	attrServerPort     = attribute.Key("server.port")
	attrClientAddress  = attribute.Key("client.address")
	attrTransport      = attribute.Key("network.transport")
	attrProtocol       = attribute.Key("network.protocol.name")

	attrServiceName    = attribute.Key("service.name")
	attrServiceVersion = attribute.Key("service.version")
	attrInstance       = attribute.Key("service.instance.id")
	attrHostName       = attribute.Key("host.name")
)

// Attribute names of easymicro.
const (
	attrRule     = attribute.Key("easymicro.rule")
	attrReason   = attribute.Key("easymicro.reason")
	attrRefuser  = attribute.Key("easymicro.host")
	attrCaller   = attribute.Key("easymicro.caller")
	attrUpstream = attribute.Key("easymicro.upstream")

	eventAttempt = "attempt"
)

// Operation holds what the spans of a method have in common. It is made once for each method of a generation.
type Operation struct {
	service    string // in the manifest, to which the spans belong; empty: the host itself
	name       string // Service/Method
	unverified bool   // only a caller has named the method so far
}

// NewOperation returns the operation of a method, given as Service/Method, of a service of the manifest.
func NewOperation(service, fullName string) *Operation {
	return &Operation{service: service, name: fullName}
}

// RemoteOperation returns the operation of a method that another host may serve. The service must exist; until a call has
// shown that the method does, its name is an attribute of the span only.
func RemoteOperation(fullName string) *Operation { return &Operation{name: fullName, unverified: true} }

// unknown is the operation of all methods that are not registered.
var unknown = &Operation{name: otherMethod}

// spanName returns the name that a span starts with.
func (o *Operation) spanName() string {
	if !o.unverified {
		return o.name
	}
	service, _, _ := strings.Cut(o.name, "/")
	return clip(service) + "/" + otherMethod
}

// attributes appends the attributes of a call's span; asked is the name that the caller used, if it is unknown.
func (o *Operation) attributes(dst []attribute.KeyValue, asked string) []attribute.KeyValue {
	if o.unverified {
		asked = o.name
	}
	dst = append(dst, attrSystem.String(systemName), attrMethod.String(o.spanName()))
	if asked != "" {
		dst = append(dst, attrMethodOriginal.String(clip(asked)))
	}
	return dst
}

// settle renames a span once the outcome of its call has shown that the method exists.
func (o *Operation) settle(span trace.Span, e *code.Error) {
	if o != nil && o.unverified && exists(e) {
		span.SetName(clip(o.name))
		span.SetAttributes(attrMethod.String(clip(o.name)))
	}
}

// exists reports whether the outcome of a call shows that its method exists.
func exists(e *code.Error) bool {
	if e == nil {
		return true
	}
	switch e.Reason {
	case code.ReasonTimeout, code.ReasonCancelled, code.ReasonConnectionLost:
		return false
	}
	return !code.NotRun(e.Reason)
}

const attributeBytes = 256

// clip shortens texts from peers and handlers and makes them valid UTF-8, as OTLP requires.
func clip(s string) string { return code.Clip(s, attributeBytes) }

// outcome returns the attributes for the outcome of a call.
func outcome(e *code.Error) []attribute.KeyValue {
	if e == nil {
		return []attribute.KeyValue{attrStatusCode.String(code.OK.String())}
	}
	name := e.Code.String()
	attrs := append(make([]attribute.KeyValue, 0, 5), attrStatusCode.String(name), attrErrorType.String(name))
	if e.Reason != "" {
		attrs = append(attrs, attrReason.String(clip(e.Reason)))
	}
	if e.Rule != "" {
		attrs = append(attrs, attrRule.String(clip(e.Rule)))
	}
	return attrs
}

// serverFault reports whether a code makes a server span an error; the others are the caller's fault. The list is from
// OpenTelemetry's conventions for gRPC.
func serverFault(c code.Code) bool {
	switch c {
	case code.Unknown, code.DeadlineExceeded, code.Unimplemented, code.Internal, code.Unavailable, code.DataLoss:
		return true
	default:
		return false
	}
}

// endpointAttributes appends the address that a call was sent to.
func endpointAttributes(dst []attribute.KeyValue, endpoint string) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil {
		return append(dst, attrTransport.String("unix"), attrServerAddress.String(clip(endpoint)))
	}
	dst = append(dst, attrTransport.String("tcp"), attrServerAddress.String(clip(host)))
	if n, err := strconv.Atoi(port); err == nil {
		dst = append(dst, attrServerPort.Int(n))
	}
	return dst
}
