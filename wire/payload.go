package wire

import (
	"errors"
	"math"
	"reflect"

	"github.com/go-json-experiment/json"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/easymicro/easymicro/wire/code"
)

// Append encodes v with codec c and appends it to dst. On failure it returns dst unchanged, and INTERNAL or, for an unknown
// c, INVALID_ARGUMENT/unknown_codec.
func Append(c Codec, dst []byte, v any) ([]byte, error) {
	var out []byte
	var err error
	switch c {
	case Raw:
		out, err = appendRaw(dst, v)
	case JSON:
		out, err = appendJSON(dst, v)
	case Protobuf:
		out, err = appendProtobuf(dst, v)
	case Msgpack:
		out, err = appendMsgpack(dst, v)
	case Thrift:
		out, err = appendThrift(dst, v)
	default:
		return dst, unknownCodec(c)
	}
	if err != nil {
		return dst, code.Errorf(code.Internal, "encode as %s: %w", c, err)
	}
	return out, nil
}

// AppendHTTP is like Append with JSON, but encodes protobuf messages as protojson. It is for HTTP callers.
func AppendHTTP(dst []byte, v any) ([]byte, error) {
	m, ok := protoMessage(v)
	if !ok {
		return Append(JSON, dst, v)
	}
	if err := checkMessage(m, true); err != nil {
		return dst, code.Errorf(code.Internal, "encode as protojson: %w", err)
	}
	out, err := protojson.MarshalOptions{}.MarshalAppend(dst, m)
	if err != nil {
		return dst, code.Errorf(code.Internal, "encode as protojson: %w", err)
	}
	return out, nil
}

// Decode decodes data into v, a pointer to a zero value, and keeps no part of data. Errors are INVALID_ARGUMENT/bad_payload,
// INVALID_ARGUMENT/unknown_codec and, when decoding would take too much memory, RESOURCE_EXHAUSTED/too_large; see Decoding.
// Their texts give the position and kind of a mistake, but no value of the payload, so that they can be logged.
func Decode(c Codec, data []byte, v any) error {
	return new(Decoding).Decode(c, data, v)
}

// DecodeHTTP is like Decode, for what AppendHTTP encodes. Unknown names are ignored.
func DecodeHTTP(data []byte, v any) error {
	return new(Decoding).DecodeHTTP(data, v)
}

// DecodeKnown is like DecodeHTTP, but rejects a member that v does not have: its error wraps an UnknownMemberError. Types
// that decode themselves, maps, and the content of a google.protobuf.Any have no unknown members.
func DecodeKnown(data []byte, v any) error {
	return new(Decoding).DecodeKnown(data, v)
}

const (
	allowedFactor = 16      // decoding a payload may allocate this many times its length,
	allowedAlways = 4 << 20 // and this much in any case

	minWalk = 64 << 10 // bytes: if decoding cannot allocate more, the payload is not walked, unless it must be charged
)

// Account is charged for what decoding allocates.
type Account interface {
	// Charge returns an error if that is too much.
	Charge(bytes int) error
	// Free returns how many bytes a payload may cost without being charged. It spares small ones the walk that finds out.
	Free() int
}

// Decoding limits what decoding allocates. The function Decode uses the zero value.
type Decoding struct {
	// MaxBytes limits what decoding one payload may allocate; 0 means 16 MiB, a negative value no limit. Another limit is
	// the larger of 4 MiB and 16 times the length of the payload. What types that decode themselves allocate is not limited.
	MaxBytes int
	// Account, if not nil, is charged before anything is allocated, even if the payload turns out to be invalid.
	Account Account
}

// Decode is like the function Decode, within the limits of d.
func (d *Decoding) Decode(c Codec, data []byte, v any) error {
	p, data, err := d.allow(c, false, data, v)
	if err != nil {
		return err
	}
	switch c {
	case Raw:
		err = decodeRaw(data, v)
	case JSON:
		err = decodeJSON(data, v, p)
	case Protobuf:
		err = decodeProtobuf(data, v)
	case Msgpack:
		err = decodeMsgpack(data, v)
	case Thrift:
		err = decodeThrift(data, v)
	default:
		return unknownCodec(c)
	}
	if err != nil {
		return invalidPayload(c.String(), err)
	}
	return nil
}

// DecodeHTTP is the function DecodeHTTP within the bounds of d.
func (d *Decoding) DecodeHTTP(data []byte, v any) error {
	m, ok := protoMessage(v)
	if !ok {
		return d.Decode(JSON, data, v)
	}
	if _, _, err := d.allow(JSON, true, data, v); err != nil {
		return err
	}
	return decodeProtojson(data, m, true)
}

// DecodeKnown is the function DecodeKnown within the bounds of d.
func (d *Decoding) DecodeKnown(data []byte, v any) error {
	p, _, err := d.allow(JSON, true, data, v)
	if err != nil {
		return err
	}
	m, ok := protoMessage(v)
	if !ok {
		if err := decodeJSON(data, v, p, json.RejectUnknownMembers(true)); err != nil {
			return invalidPayload(JSON.String(), err)
		}
		return nil
	}
	if decodeProtojson(data, m, false) == nil {
		return nil
	}
	if err := unknownField(data, m.ProtoReflect().Descriptor()); err != nil {
		return invalidPayload(JSON.String(), err)
	}
	proto.Reset(m)
	return decodeProtojson(data, m, true) // something else is unknown, such as a value of an enumeration
}

// AtLimit reports whether MaxBytes is the bound that applies to a payload of n bytes, so that a larger MaxBytes allows
// more.
func (d *Decoding) AtLimit(n int) bool { return d.limit() <= max(allowedFactor*n, allowedAlways) }

func (d *Decoding) limit() int {
	switch {
	case d.MaxBytes < 0:
		return math.MaxInt
	case d.MaxBytes == 0:
		return defaultMaxDecompressedBytes
	}
	return d.MaxBytes
}

// allowance returns what decoding n bytes may allocate.
func (d *Decoding) allowance(n int) int {
	if d.MaxBytes < 0 {
		return math.MaxInt
	}
	return min(max(allowedFactor*n, allowedAlways), d.limit())
}

// allow returns an error if decoding data into v may allocate too much. plain is what to decode instead of data.
func (d *Decoding) allow(c Codec, http bool, data []byte, v any) (p *plan, plain []byte, err error) {
	if p = planOf(c, http, v); p == nil {
		return nil, data, nil
	}
	worst := p.perByte(c) * len(data)
	if !p.walkAlways && worst <= d.free() {
		return p, data, nil
	}
	b := tally{max: d.allowance(len(data))}
	switch c {
	case JSON:
		w := jsonWalk{tally: b, data: data, allErrors: p.allErrors, proto: p.maxPerByteJSON > 0}
		w.value(p.root, reflect.Indirect(reflect.ValueOf(v)), 0)
		if !w.fits() {
			return nil, nil, d.tooCostly(len(data))
		}
		if err := d.charge(w.total); err != nil {
			return nil, nil, err
		}
		w.fill()
		return p, data, nil
	case Msgpack:
		w := msgpackWalk{tally: b, rest: data}
		w.value(p.root, 0)
		if w.mismatch {
			return nil, nil, invalidPayload(c.String(), errMismatch)
		}
		if b = w.tally; len(w.times) > 0 {
			plain = withLongTimes(data, w.times)
		}
	case Thrift:
		w := thriftWalk{tally: b, rest: data}
		if err := w.whole(p.root); err != nil && !w.over() {
			return nil, nil, invalidPayload(c.String(), err)
		}
		b = w.tally
	default:
		w := protobufWalk{tally: b}
		w.message(p.root, data, 0, 0)
		b = w.tally
	}
	if b.over() {
		return nil, nil, d.tooCostly(len(data))
	}
	if plain == nil {
		plain = data
	}
	return p, plain, d.charge(b.total)
}

// free returns the cost up to which a payload is not charged.
func (d *Decoding) free() int {
	if d.Account == nil {
		return minWalk
	}
	return min(d.Account.Free(), minWalk)
}

func (d *Decoding) charge(cost int) error {
	if d.Account == nil || cost <= d.free() {
		return nil
	}
	return d.Account.Charge(cost)
}

// tooCostly returns the error for the limit that is exceeded.
func (d *Decoding) tooCostly(n int) *code.Error {
	what := "decoding the payload would take more than the %d bytes of memory allowed"
	if !d.AtLimit(n) {
		what += " for its length"
	}
	return code.Errorf(code.ResourceExhausted, what, d.allowance(n)).WithReason(code.ReasonTooLarge)
}

// planOf returns nil for payloads that need not be walked, such as raw ones.
func planOf(c Codec, http bool, v any) *plan {
	switch c {
	case JSON:
		if http {
			if m, ok := protoMessage(v); ok {
				return knownFor(m).plan
			}
		}
		return jsonPlans.of(reflect.TypeOf(v))
	case Msgpack:
		return msgpackPlans.of(reflect.TypeOf(v))
	case Protobuf:
		m, ok := protoMessage(v)
		if !ok {
			return nil // what the methods of other types allocate is unknown
		}
		return knownFor(m).plan
	case Thrift:
		return thriftPlans.of(reflect.TypeOf(v))
	default:
		return nil
	}
}

var errNotRaw = errors.New("the method does not take or return raw bytes")

func appendRaw(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case []byte:
		return append(dst, v...), nil
	case *[]byte:
		return append(dst, *v...), nil
	case string:
		return append(dst, v...), nil
	case *string:
		return append(dst, *v...), nil
	}
	return dst, errNotRaw
}

func decodeRaw(data []byte, v any) error {
	switch v := v.(type) {
	case *[]byte:
		*v = append((*v)[:0], data...)
		return nil
	case *string:
		*v = string(data)
		return nil
	}
	return errNotRaw
}
