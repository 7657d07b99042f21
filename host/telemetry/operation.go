package telemetry

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/easymicro/easymicro/wire/code"
)

// Operation is what the spans of a method have in common. It is made once for each method of a generation.
type Operation struct {
	service string // the manifest's, as which the spans appear; empty: the host itself
	name    string // Service/Method
	hearsay bool   // a caller's word is all there is for the method
}

// NewOperation is the operation of a method, as Service/Method, of a service of the manifest.
func NewOperation(service, fullName string) *Operation {
	return &Operation{service: service, name: fullName}
}

// RemoteOperation is the operation of a method that another host serves, if that has it: until a call has shown that it
// does, the span has the method's name for an attribute only. The service must be known to exist.
func RemoteOperation(fullName string) *Operation { return &Operation{name: fullName, hearsay: true} }

// unknown stands for all methods that are not registered.
var unknown = &Operation{name: otherMethod}

// spanName is the name that a span starts with.
func (o *Operation) spanName() string {
	if !o.hearsay {
		return o.name
	}
	service, _, _ := strings.Cut(o.name, "/")
	return clip(service) + "/" + otherMethod
}

// attributes of the span of a call; asked is the name that the caller used, where it is not known.
func (o *Operation) attributes(dst []attribute.KeyValue, asked string) []attribute.KeyValue {
	if o.hearsay {
		asked = o.name
	}
	dst = append(dst, attrSystem.String(systemName), attrMethod.String(o.spanName()))
	if asked != "" {
		dst = append(dst, attrMethodOriginal.String(clip(asked)))
	}
	return dst
}

// settle gives a span the name that the outcome of its call has confirmed.
func (o *Operation) settle(span trace.Span, e *code.Error) {
	if o != nil && o.hearsay && exists(e) {
		span.SetName(clip(o.name))
		span.SetAttributes(attrMethod.String(clip(o.name)))
	}
}

// Names of OpenTelemetry's conventions for RPC spans. They are our own constants, since those of the library move from
// version to version; schemaURL says which one they are of.
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

// Names of our own.
const (
	attrRule     = attribute.Key("easymicro.rule")
	attrReason   = attribute.Key("easymicro.reason")
	attrRefuser  = attribute.Key("easymicro.host")
	attrCaller   = attribute.Key("easymicro.caller")
	attrUpstream = attribute.Key("easymicro.upstream")

	eventAttempt = "attempt"
)

const attributeBytes = 256

// clip keeps texts of peers and of handlers short, and fit for OTLP, which is UTF-8 throughout.
func clip(s string) string { return code.Clip(s, attributeBytes) }

// outcome is what spans say of how a call ended.
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

// serverFault tells the codes that make a server's span an error; the others are the caller's doing. It is the list that
// OpenTelemetry has for gRPC.
func serverFault(c code.Code) bool {
	switch c {
	case code.Unknown, code.DeadlineExceeded, code.Unimplemented, code.Internal, code.Unavailable, code.DataLoss:
		return true
	default:
		return false
	}
}

// peerAttributes say where a call came from.
func peerAttributes(dst []attribute.KeyValue, peer netip.Addr) []attribute.KeyValue {
	if !peer.IsValid() {
		return dst
	}
	return append(dst, attrTransport.String("tcp"), attrClientAddress.String(peer.String()))
}

// endpointAttributes say where a call went to.
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
