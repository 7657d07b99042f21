package wire

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// maxAnys is how many messages of google.protobuf.Any may be in each other over HTTP, where each is decoded to be written
// as JSON.
const maxAnys = 16

// checkMessage is the check of an encodable for a message of protobuf, in binary or as JSON.
func checkMessage(m proto.Message, asJSON bool) error {
	r := m.ProtoReflect()
	if known := knownOf(r); !known.recursive && (!asJSON || !known.anys) {
		return nil
	}
	w := messageWalk{asJSON: asJSON}
	return w.message(r, 0, 0)
}

// messageWalk counts the messages in a message.
type messageWalk struct {
	asJSON bool
	values int
}

func (w *messageWalk) message(m protoreflect.Message, depth, anys int) (err error) {
	w.values++
	switch {
	case depth == maxDepth || anys > maxAnys:
		return errEndless
	case w.values > maxValues:
		return errTooMany
	case w.asJSON && m.Descriptor().FullName() == anyName:
		return w.inside(m, depth, anys)
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap() && fd.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				err = w.message(v.Message(), depth+1, anys)
				return err == nil
			})
		case fd.IsMap() || fd.Message() == nil:
		case fd.IsList():
			for i := 0; i < v.List().Len() && err == nil; i++ {
				err = w.message(v.List().Get(i).Message(), depth+1, anys)
			}
		default:
			err = w.message(v.Message(), depth+1, anys)
		}
		return err == nil
	})
	return err
}

// inside walks the message in a google.protobuf.Any, if that can have messages without end in it. What cannot be decoded
// is left to the encoder to find.
func (w *messageWalk) inside(m protoreflect.Message, depth, anys int) error {
	fields := m.Descriptor().Fields()
	found, err := protoregistry.GlobalTypes.FindMessageByURL(m.Get(fields.ByNumber(1)).String())
	if err != nil {
		return nil //nolint:nilerr // the encoder finds it
	}
	inner := found.New()
	if known := knownOf(inner); !known.recursive && !known.anys {
		return nil
	}
	o := proto.UnmarshalOptions{AllowPartial: true, RecursionLimit: maxDepth}
	if err := o.Unmarshal(m.Get(fields.ByNumber(2)).Bytes(), inner.Interface()); err != nil {
		return nil //nolint:nilerr // the same
	}
	return w.message(inner, depth+1, anys+1)
}
