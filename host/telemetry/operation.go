package telemetry

import (
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
