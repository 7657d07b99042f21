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

const (
	allowedFactor = 16      // times the payload is what decoding it may allocate,
	allowedAlways = 4 << 20 // and as much whatever its length

	minWalk   = 64 << 10 // may be allocated without a look at the payload before,
	minCharge = 4 << 10  // and less without asking an account
)

// An Account is charged for what decoding allocates. It returns an error when that is too much for now.
type Account interface {
	Charge(bytes int) error
}

// Decoding says how payloads are decoded. The zero value is what Decode does.
type Decoding struct {
	// MaxBytes bounds what decoding one payload may allocate; so does its length, to 16 times that or 4 MiB, whichever is
	// more. The smaller bound counts. Zero means 16 MiB, and below zero there is no bound at all. Types that decode
	// themselves are not bounded in what they allocate.
	MaxBytes int
	// Account, if any, is charged before anything is allocated, also when the payload turns out not to fit.
	Account Account
}

// Decode is the function Decode with the bounds of d.
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
		return misfit(c.String(), err)
	}
	return nil
}

// DecodeHTTP is the function DecodeHTTP with the bounds of d.
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

// DecodeKnown is the function DecodeKnown with the bounds of d.
func (d *Decoding) DecodeKnown(data []byte, v any) error {
	p, _, err := d.allow(JSON, true, data, v)
	if err != nil {
		return err
	}
	m, ok := protoMessage(v)
	if !ok {
		if err := decodeJSON(data, v, p, json.RejectUnknownMembers(true)); err != nil {
			return misfit(JSON.String(), err)
		}
		return nil
	}
	if decodeProtojson(data, m, false) == nil {
		return nil
	}
	if err := unknownField(data, m.ProtoReflect().Descriptor()); err != nil {
		return misfit(JSON.String(), err)
	}
	proto.Reset(m)
	return decodeProtojson(data, m, true) // something else was unknown, as a value of an enumeration
}

// AtLimit reports whether MaxBytes is what bounds a payload of n bytes, so that a larger MaxBytes allows more.
func (d *Decoding) AtLimit(n int) bool { return d.limit() <= max(allowedFactor*n, allowedAlways) }

func (d *Decoding) limit() int {
	switch {
	case d.MaxBytes < 0:
		return math.MaxInt
	case d.MaxBytes == 0:
		return defaultLimits().MaxDecompressedBytes
	}
	return d.MaxBytes
}

// most is what decoding n bytes may allocate.
func (d *Decoding) most(n int) int {
	if d.MaxBytes < 0 {
		return math.MaxInt
	}
	return min(max(allowedFactor*n, allowedAlways), d.limit())
}

// allow fails when decoding data into v may allocate too much. It returns what is to be decoded instead of data.
func (d *Decoding) allow(c Codec, http bool, data []byte, v any) (p *plan, plain []byte, err error) {
	if p = planOf(c, http, v); p == nil {
		return nil, data, nil
	}
	worst := p.perByte(c) * len(data)
	if !p.always && worst <= minCharge || d.Account == nil && worst <= minWalk && !p.always {
		return p, data, nil
	}
	b := bill{most: d.most(len(data))}
	switch c {
	case JSON:
		w := jsonWalk{bill: b, data: data, every: p.every, proto: p.worstJSON > 0}
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
		w := msgpackWalk{bill: b, rest: data}
		w.value(p.root, 0)
		if w.unfit {
			return nil, nil, misfit(c.String(), errNoFit)
		}
		if b = w.bill; len(w.times) > 0 {
			plain = withLongTimes(data, w.times)
		}
	case Thrift:
		w := thriftWalk{bill: b, rest: data}
		if err := w.whole(p.root); err != nil && !w.over() {
			return nil, nil, misfit(c.String(), err)
		}
		b = w.bill
	default:
		w := protobufWalk{bill: b}
		w.message(p.root, data, 0, 0)
		b = w.bill
	}
	if b.over() {
		return nil, nil, d.tooCostly(len(data))
	}
	if plain == nil {
		plain = data
	}
	return p, plain, d.charge(b.total)
}

func (d *Decoding) charge(cost int) error {
	if d.Account == nil || cost <= minCharge {
		return nil
	}
	return d.Account.Charge(cost)
}

// tooCostly says which of the bounds is met.
func (d *Decoding) tooCostly(n int) *code.Error {
	what := "decoding the payload would take more than the %d bytes of memory allowed"
	if !d.AtLimit(n) {
		what += " for its length"
	}
	return code.Errorf(code.ResourceExhausted, what, d.most(n)).WithReason(code.ReasonTooLarge)
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

// Append encodes v with codec c behind dst. When it fails dst is unchanged and the error is INTERNAL, or
// INVALID_ARGUMENT with unknown_codec when c is none of ours.
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

// Decode decodes data into the pointer v, which is to be a zero value, and keeps no part of data. Any data gives a
// value or an error; errors are INVALID_ARGUMENT, with bad_payload, or unknown_codec when c is none of ours, and
// RESOURCE_EXHAUSTED with too_large when it would take too much memory, see Decoding. Their text says where and what kind,
// but repeats no value of the payload, so that it can be logged.
func Decode(c Codec, data []byte, v any) error {
	return new(Decoding).Decode(c, data, v)
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

// AppendHTTP encodes v behind dst as the JSON that HTTP callers see: protojson for protobuf messages, that of Append
// for all else. Its errors are those of Append.
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

// DecodeHTTP decodes what AppendHTTP encodes into the pointer v. Unknown names are overlooked. Its errors are those of
// Decode.
func DecodeHTTP(data []byte, v any) error {
	return new(Decoding).DecodeHTTP(data, v)
}

// DecodeKnown decodes like DecodeHTTP and returns an UnknownMemberError for a member that v does not have, in the chain of
// the error. Types that decode themselves, maps and the like have no unknown members, and what is in a
// google.protobuf.Any is not looked at.
func DecodeKnown(data []byte, v any) error {
	return new(Decoding).DecodeKnown(data, v)
}
