package wire

import (
	"reflect"

	"github.com/easymicro/easymicro/wire/code"
)

const (
	allowedFactor = 16      // times the payload is what decoding it may allocate,
	allowedAlways = 4 << 20 // and as much whatever its length

	// unwalked is how much decoding a payload may allocate without a look at it before, and for less than charged
	// nobody is asked.
	unwalked = 64 << 10
	charged  = 4 << 10
)

// An Account is charged for what decoding allocates. It returns an error when that is too much for now.
type Account interface {
	Charge(bytes int) error
}

// Decoding says how payloads are decoded. The zero value is what Decode does.
type Decoding struct {
	// MaxBytes bounds what decoding one payload may allocate, besides 16 times its length or 4 MiB, whichever is more.
	// Zero means 16 MiB. Types that decode themselves are not bounded in what they allocate.
	MaxBytes int
	// Account, if any, is charged before anything is allocated, also when the payload turns out not to fit.
	Account Account
}

// most is what decoding n bytes may allocate.
func (d *Decoding) most(n int) int {
	limit := d.MaxBytes
	if limit <= 0 {
		limit = defaultLimits().MaxDecompressedBytes
	}
	return min(max(allowedFactor*n, allowedAlways), limit)
}

// allow fails when decoding data into v may allocate too much. It reports whether all errors in JSON are to be collected.
func (d *Decoding) allow(c Codec, http bool, data []byte, v any) (every bool, err error) {
	p := planOf(c, http, v)
	if p == nil {
		return false, nil
	}
	cost, most := p.worst*len(data), d.most(len(data))
	if cost > unwalked || c == Msgpack && p.dicts {
		if cost, err = p.walk(c, data, v, most); err != nil {
			return false, err
		}
	}
	return p.every, d.charge(cost)
}

// planOf is nil where nothing need be looked at: raw payloads are as long as they are, and thrift is always walked.
func planOf(c Codec, http bool, v any) *plan {
	switch c {
	case JSON:
		if http {
			if m, ok := protoMessage(v); ok {
				return messagePlan(m)
			}
		}
		return jsonPlans.of(v)
	case Msgpack:
		return msgpackPlans.of(v)
	case Protobuf:
		m, ok := protoMessage(v)
		if !ok {
			return nil // nothing is known of what other types allocate in their own methods
		}
		return messagePlan(m)
	default:
		return nil
	}
}

func (d *Decoding) charge(cost int) error {
	if d.Account == nil || cost <= charged {
		return nil
	}
	return d.Account.Charge(cost)
}

// walk returns what decoding data allocates. What is malformed is left to the decoder to find.
func (p *plan) walk(c Codec, data []byte, v any, most int) (cost int, err error) {
	b := bill{most: most}
	switch c {
	case JSON:
		w := jsonWalk{bill: b, data: data, every: p.every, proto: p.messages}
		w.value(p.root, reflect.Indirect(reflect.ValueOf(v)), 0)
		if !w.fill() {
			return 0, tooCostly(most)
		}
		return w.total, nil
	case Msgpack:
		w := msgpackWalk{bill: b, rest: data}
		w.value(p.root, 0)
		if w.unfit {
			return 0, misfit(c.String(), errNoFit)
		}
		b = w.bill
	default:
		w := protobufWalk{bill: b}
		w.message(p.root, data, 0, 0)
		b = w.bill
	}
	if b.over() {
		return 0, tooCostly(most)
	}
	return b.total, nil
}

func tooCostly(most int) *code.Error {
	const what = "the payload takes more than the %d bytes of memory that are allowed when it is decoded"
	return code.Errorf(code.ResourceExhausted, what, most).WithReason(code.ReasonTooLarge)
}
