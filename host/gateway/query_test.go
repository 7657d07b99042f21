package gateway

import (
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
)

type inner struct {
	Page int `json:"page"`
	A    int `json:"a"` // the outer field takes precedence
}

type query struct {
	inner
	A        int             `json:"a"`
	U        uint8           `json:"u"`
	F        float32         `json:"f"`
	On       bool            `json:"on"`
	Name     string          `json:"name"`
	List     []int           `json:"list"`
	Words    []string        `json:"words"`
	Big      int64           `json:"big,string"`
	Ptr      *int            `json:"ptr"`
	At       time.Time       `json:"at"`
	Bytes    []byte          `json:"bytes"`
	Sub      map[string]int  `json:"sub"`
	Any      any             `json:"any"`
	Raw      json.RawMessage `json:"raw"`
	Skipped  int             `json:"-"`
	hidden   int             //nolint:unused // it is there not to be found
	Untagged int
}

func TestQueryParametersGetTheTypesOfTheArgument(t *testing.T) {
	b, err := newBinder(reflect.TypeFor[*query]())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ query, want string }{
		{"", `{}`},
		{"a=-7&u=255&f=1.5&on=true&name=73", `{"a":-7,"u":255,"f":1.5,"on":true,"name":"73"}`},
		{"name=a+%26+%22b%22&name2=", `unknown parameter "name2" (did you mean name?)`},
		{"list=1&list=2&words=1&words=x", `{"list":[1,2],"words":["1","x"]}`},
		{"list=1", `{"list":[1]}`},
		{"page=3&big=12&ptr=5", `{"big":"12","ptr":5,"page":3}`},
		{"at=2026-01-02T03:04:05Z&bytes=YWJj", `{"at":"2026-01-02T03:04:05Z","bytes":"YWJj"}`},
		{`sub={"x":1}&any=true&raw=[1]`, `{"sub":{"x":1},"any":true,"raw":[1]}`},
		{"any=plain", `{"any":"plain"}`},
		{"Untagged=1", `{"Untagged":1}`},
		{"untagged=1&NAME=x", `{"name":"x","Untagged":1}`},
		{"a=1&a=2", `parameter "a" is given more than once`},
		{"a=1&A=2", `parameter "a" is given more than once`},
		{"a=x", `parameter "a" is not an integer`},
		{"a=1.5", `parameter "a" is not an integer`},
		{"a=", `parameter "a" is not an integer`},
		{"u=256", `parameter "u" is not an integer of 0 or more`},
		{"f=NaN", `parameter "f" is not a number`},
		{"f=1e99", `parameter "f" is not a number`},
		{"on=1", `parameter "on" is not true or false`},
		{"list=1&list=x", `parameter "list" has a value that is not an integer`},
		{"sub=x", `parameter "sub" is not a JSON value`},
		{"name=%ff", `parameter "name" is not a string`},
		{"hidden=1", `unknown parameter "hidden"`},
		{"Skipped=1", `unknown parameter "Skipped"`},
	} {
		values, err := url.ParseQuery(tc.query)
		if err != nil {
			t.Fatal(err)
		}
		got, what := b.object(nil, values)
		if unknown := b.unknown(values, func(w string, _ []string) string {
			if w == "name2" {
				return "name"
			}
			return ""
		}); unknown != "" {
			what = unknown
		}
		if what != "" {
			if !strings.HasPrefix(what, tc.want) {
				t.Errorf("%s: %s, want %s", tc.query, what, tc.want)
			}
			continue
		}
		if string(got) != tc.want {
			t.Errorf("%s: %s, want %s", tc.query, got, tc.want)
		}
		if err := json.Unmarshal(got, new(query)); err != nil {
			t.Errorf("%s: %s does not decode: %v", tc.query, got, err)
		}
	}
}

// message looks like the output of protoc-gen-go.
type message struct {
	FieldOne int32   `protobuf:"varint,1,opt,name=field_one,json=fieldOne,proto3" json:"field_one,omitempty"`
	Kind     kind    `protobuf:"varint,2,opt,name=kind,proto3,enum=Kind" json:"kind,omitempty"`
	Sub      *nested `protobuf:"bytes,3,opt,name=sub,proto3" json:"sub,omitempty"`
}

type kind int32

func (kind) EnumDescriptor() ([]byte, []int) { return nil, nil }

type nested struct{}

func (*nested) ProtoReflect() {}

func TestQueryParametersOfMessagesMayUseEitherName(t *testing.T) {
	b, err := newBinder(reflect.TypeFor[message]())
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"field_one=1": `{"field_one":1}`,
		"fieldOne=1":  `{"field_one":1}`,
		"kind=BIG":    `{"kind":"BIG"}`,
		"kind=2":      `{"kind":2}`,
		"sub={}":      `{"sub":{}}`,
		"sub=12s":     `{"sub":"12s"}`,
	} {
		values, _ := url.ParseQuery(in)
		if got, what := b.object(nil, values); string(got) != want || what != "" {
			t.Errorf("%s: %s %s", in, got, what)
		}
	}
}

func TestMapsTakeAnyParameter(t *testing.T) {
	b, err := newBinder(reflect.TypeFor[map[string][]int]())
	if err != nil {
		t.Fatal(err)
	}
	got, what := b.object(nil, url.Values{"x": {"1", "2"}, "y": {"3"}})
	if string(got) != `{"x":[1,2],"y":[3]}` || what != "" {
		t.Errorf("%s %s", got, what)
	}
}

func TestArgumentsWithoutMembersCannotBeBound(t *testing.T) {
	for _, typ := range []reflect.Type{nil, reflect.TypeFor[int](), reflect.TypeFor[[]byte](), reflect.TypeFor[time.Time](), reflect.TypeFor[map[int]int]()} {
		if _, err := newBinder(typ); err == nil {
			t.Errorf("%v was bound", typ)
		}
	}
}
