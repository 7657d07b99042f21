package wire

import (
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

const (
	anyFactor = 4   // times its length is what an object for a google.protobuf.Any costs: it is searched for the type first,
	anyBytes  = 512 // and what has been made of it is encoded
)

// inAny is what a google.protobuf.Any at this place is, which may be nothing known. Objects in each other are searched
// again and again, so each counts with its length.
func (w *jsonWalk) inAny() *shape {
	url, n := typeInAny(w.data[w.at:])
	w.total += anyBytes + anyFactor*n
	if url == "" || w.total-w.spare > w.most {
		return nil
	}
	found, err := protoregistry.GlobalTypes.FindMessageByURL(url)
	if err != nil {
		return nil
	}
	inner := knownOf(found.New()).plan.root
	w.total += rounded(inner.size)
	if ownValue[found.Descriptor().FullName()] {
		return &shape{kind: asRecord, members: map[string]*shape{"value": inner}}
	}
	return inner
}

// ownValue are the messages that are a member of the object that stands for an Any, instead of its members.
var ownValue = map[protoreflect.FullName]bool{
	"google.protobuf.Any": true, "google.protobuf.Timestamp": true, "google.protobuf.Duration": true,
	"google.protobuf.BoolValue": true, "google.protobuf.Int32Value": true, "google.protobuf.Int64Value": true,
	"google.protobuf.UInt32Value": true, "google.protobuf.UInt64Value": true, "google.protobuf.FloatValue": true,
	"google.protobuf.DoubleValue": true, "google.protobuf.StringValue": true, "google.protobuf.BytesValue": true,
	"google.protobuf.Struct": true, "google.protobuf.ListValue": true, "google.protobuf.Value": true,
	"google.protobuf.FieldMask": true, "google.protobuf.Empty": true,
}

// typeInAny is the member @type of the object that data begins with, and the length of the object.
func typeInAny(data []byte) (url string, n int) {
	w := newFieldWalk(data)
	err := w.members(func(name string) error {
		if name != "@type" || w.PeekKind() != '"' {
			return w.SkipValue()
		}
		t, err := w.ReadToken()
		if err == nil {
			url = t.String()
		}
		return err
	})
	if err != nil {
		return "", len(data)
	}
	return url, int(w.InputOffset())
}
