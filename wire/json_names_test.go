package wire

import (
	"errors"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/easymicro/easymicro/wire/code"
)

type outerArgs struct {
	A     int                  `json:"a"`
	Items []innerArgs          `json:"items"`
	ByKey map[string]innerArgs `json:"by_key"`
	Any   any                  `json:"any"`
	Raw   selfDecoded          `json:"raw"`
	Embedded
	Next   *outerArgs `json:"next"`
	Hidden int        `json:"-"`
}

type innerArgs struct {
	Colour string `json:"colour,omitempty"`
}

// Embedded is exported, as embedded structs of arguments are.
type Embedded struct{ Depth int }

type selfDecoded struct{}

func (*selfDecoded) UnmarshalJSON([]byte) error { return nil }

// Kind is exported, as embedded types of arguments are.
type Kind string

// EmbeddedOne has a member in common with EmbeddedTwo.
type EmbeddedOne struct{ ID, Name, Both int }

// EmbeddedTwo has one in common with EmbeddedOne.
type EmbeddedTwo struct{ Both int }

func TestMembersAreListedAsJSONHasThem(t *testing.T) {
	type outer struct {
		EmbeddedOne
		*EmbeddedTwo
		Kind
		ID      int
		Renamed int `json:"title"`
		Hidden  int `json:"-"`
	}
	err := DecodeKnown([]byte(`{"x":1}`), new(outer))
	unknown := new(UnknownMemberError)
	if want := []string{"Name", "Kind", "ID", "title"}; !errors.As(err, &unknown) || !slices.Equal(unknown.Known, want) {
		t.Errorf("got %q, %v, want %q", unknown.Known, err, want)
	}
}

func TestUnknownMembersAreFoundAnywhere(t *testing.T) {
	inner := []string{"colour"}
	outer := []string{"a", "items", "by_key", "any", "raw", "Depth", "next"}
	message := []string{"start", "end", "options"}
	for _, tc := range []struct {
		name, data string
		into       any
		path       string // "" for none
		known      []string
	}{
		{"all known", `{"a":1,"items":[{"colour":"red"}],"Depth":2}`, new(outerArgs), "", nil},
		{"another case", `{"A":1,"ITEMS":[],"depth":2}`, new(outerArgs), "", nil},
		{"on top", `{"a":1,"bb":2}`, new(outerArgs), "/bb", outer},
		{"in a list", `{"items":[{"colour":"red"},{"color":"red"}]}`, new(outerArgs), "/items/1/color", inner},
		{"in a map", `{"by_key":{"k":{"color":"red"}}}`, new(outerArgs), "/by_key/k/color", inner},
		{"behind a pointer", `{"next":{"next":{"x":1}}}`, new(outerArgs), "/next/next/x", outer},
		{"one that is not decoded", `{"Hidden":1}`, new(outerArgs), "/Hidden", outer},
		{"an any has none", `{"any":{"x":{"y":1}}}`, new(outerArgs), "", nil},
		{"what decodes itself has none", `{"raw":{"x":1}}`, new(outerArgs), "", nil},
		{"a map has none", `{"x":1}`, new(map[string]any), "", nil},
		{"before a wrong type", `{"bb":2,"a":"x"}`, new(outerArgs), "/bb", outer},
		{"a message", `{"start":1}`, new(descriptorpb.DescriptorProto_ExtensionRange), "", nil},
		{"of a message", `{"stat":1}`, new(descriptorpb.DescriptorProto_ExtensionRange), "/stat", message},
		{"in a message in a list", `{"name":"M","field":[{"name":"a"},{"nam":"b"}]}`, new(descriptorpb.DescriptorProto), "/field/1/nam", nil},
		{"both names of a field", `{"extensionRange":[],"nested_type":[]}`, new(descriptorpb.DescriptorProto), "", nil},
		{"a Struct has none", `{"x":{"y":1}}`, new(structpb.Struct), "", nil},
	} {
		err := DecodeKnown([]byte(tc.data), tc.into)
		if tc.path == "" {
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		unknown := new(UnknownMemberError)
		if !errors.As(err, &unknown) || unknown.Path != tc.path || tc.known != nil && !slices.Equal(unknown.Known, tc.known) || len(unknown.Known) == 0 {
			t.Errorf("%s: %v, %+v", tc.name, err, unknown)
		}
		if e := code.From(err); e.Code != code.InvalidArgument || e.Reason != code.ReasonBadPayload || e.KeepsBack() {
			t.Errorf("%s: %+v", tc.name, e)
		}
		if _, isMessage := tc.into.(proto.Message); !isMessage && tc.name != "before a wrong type" && DecodeHTTP([]byte(tc.data), tc.into) != nil {
			t.Errorf("%s: DecodeHTTP does not overlook it", tc.name)
		}
	}
	for _, bad := range []string{"", "{", `{"a":`, `[]`, `{"a":1}}`} {
		if err := DecodeKnown([]byte(bad), new(outerArgs)); err == nil {
			t.Errorf("%q decodes", bad)
		}
		if err := DecodeKnown([]byte(bad), new(descriptorpb.DescriptorProto)); err == nil {
			t.Errorf("%q decodes as a message", bad)
		}
	}
}
