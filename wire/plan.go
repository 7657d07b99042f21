package wire

import "reflect"

// plan is what is known of decoding a type with a codec.
type plan struct {
	root      *shape
	worst     int  // the most that a byte of a payload makes the decoder allocate
	worstJSON int  // of messages of protobuf: the same over HTTP
	always    bool // payloads are walked however short they are
	every     bool // the decoder of JSON has to collect errors, see jsonEvery
}

// planOf is nil where nothing need be looked at: raw payloads are as long as they are.
func planOf(c Codec, http bool, v any) *plan {
	switch c {
	case JSON:
		if http {
			if m, ok := protoMessage(v); ok {
				return knownOf(m.ProtoReflect()).plan
			}
		}
		return jsonPlans.of(reflect.TypeOf(v))
	case Msgpack:
		return msgpackPlans.of(reflect.TypeOf(v))
	case Protobuf:
		m, ok := protoMessage(v)
		if !ok {
			return nil // nothing is known of what other types allocate in their own methods
		}
		return knownOf(m.ProtoReflect()).plan
	case Thrift:
		return thriftPlans.of(reflect.TypeOf(v))
	default:
		return nil
	}
}

// perByte is the most that a byte of a payload makes the decoder allocate.
func (p *plan) perByte(c Codec) int {
	if c == JSON && p.worstJSON > 0 {
		return p.worstJSON
	}
	return p.worst
}
