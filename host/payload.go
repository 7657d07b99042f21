package host

import (
	"errors"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/gateway"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// payload decodes the argument and encodes the reply of a call.
type payload struct{ *serving }

// protojson reports whether JSON means protojson for protobuf messages, as over HTTP.
func (s payload) protojson(c wire.Codec) bool {
	return c == wire.JSON && s.wire.Transport() == wire.TransportHTTP
}

func (s payload) decode(req *wire.Frame, args any) error {
	d := s.wire.Decoding()
	if !s.protojson(req.Codec) {
		return d.Decode(req.Codec, req.Payload, args)
	}
	if s.generation.set.Manifest.Gateway.UnknownFields != config.UnknownReject {
		return d.DecodeHTTP(req.Payload, args)
	}
	err := d.DecodeKnown(req.Payload, args)
	if unknown := new(wire.UnknownMemberError); errors.As(err, &unknown) {
		what := unknown.Error() + gateway.Instead(unknown.Name(), unknown.Known, s.recorder.hints.nearest)
		return code.Refuse(code.InvalidArgument, code.ReasonBadPayload, what, "", "", 0)
	}
	return err
}

// decodeError returns the error for an argument of n bytes that cannot be decoded or would take too much memory.
func (s payload) decodeError(err error, n int) *code.Error {
	s.done(err)
	e := code.From(err)
	if d := s.wire.Decoding(); e.Reason == code.ReasonTooLarge && d.AtLimit(n) {
		e = e.WithAdvice("raise listeners[].limits.maxDecompressedBytes")
	}
	e = e.On(s.recorder.name)
	s.logHidden(e)
	return e
}

func (s payload) encode(c wire.Codec, dst []byte, reply any) ([]byte, error) {
	if s.protojson(c) {
		return wire.AppendHTTP(dst, reply)
	}
	return wire.Append(c, dst, reply)
}
