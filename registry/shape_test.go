package registry

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

type (
	arithArgs struct {
		A int `json:"a"`
		B int `json:"b"`
	}
	tree struct {
		Value    string  `json:"value"`
		Parent   *tree   `json:"parent"`
		Children []*tree `json:"children"`
		Named    map[string]tree
	}
	address struct {
		City string `json:"city,omitempty"`
		Zip  *int
	}
	state   int
	custom  struct{ X int }
	Outside struct {
		Shared string
		Deep   int `json:"deep"`
	}
	hiddenPart struct{ Promoted bool }
	clash      struct {
		Outside
		hiddenPart
		Shared int
	}
	left   struct{ Same, L int }
	right  struct{ Same, R int }
	either struct {
		left
		right
	}
	leftTagged struct {
		S int `json:"Same"`
	}
	tagged struct {
		leftTagged
		right
	}
)

func (s state) MarshalText() ([]byte, error) { return []byte("idle"), nil }

func (c *custom) MarshalJSON() ([]byte, error) { return []byte(`"custom"`), nil }

type touchy struct{ p *int }

func (t touchy) MarshalJSON() ([]byte, error) { return json.Marshal(*t.p) }

// dashed is made here because linters take such a tag for a slip.
var dashed = reflect.StructOf([]reflect.StructField{{Name: "Dash", Type: reflect.TypeFor[int](), Tag: `json:"-,"`}})

func TestAnExampleShowsWhatJSONTakes(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{
		{arithArgs{}, `{"a":0,"b":0}`},
		{"", `""`},
		{[]byte{}, `""`},
		{[]string{}, `[""]`},
		{[]any{}, `[]`},
		{[2]int{}, `[0]`},
		{new(any), `null`},
		{map[string]int{}, `{"key":0}`},
		{map[int]bool{}, `{"0":false}`},
		{map[state]any{}, `{"idle":null}`},
		{address{}, `{"city":"","Zip":0}`},
		{tree{}, `{"value":"","parent":null,"children":[],"Named":{}}`},
		{clash{}, `{"deep":0,"Promoted":false,"Shared":0}`},
		{either{}, `{"L":0,"R":0}`},
		{tagged{}, `{"Same":0,"R":0}`},
		{custom{}, `"custom"`},
		{touchy{}, `null`},
		{complex(1, 1), `null`},
		{json.Number(""), `0`},
		{json.RawMessage{}, `null`},
		{time.Duration(0), `0`},
		{struct{ When time.Time }{}, `{"When":"0001-01-01T00:00:00Z"}`},
		{struct {
			N       int    `json:",string"`
			S       string `json:"s,string"`
			Skipped int    `json:"-"`
			Fn      func()
			Ch      chan int
			C       complex64
			private int
			Custom  *custom
			F       float32
			U       uint8
		}{}, `{"N":"0","s":"\"\"","Custom":"custom","F":0,"U":0}`},
		{reflect.Zero(dashed).Interface(), `{"-":0}`},
		{struct {
			Home  address
			Other []address
		}{}, `{"Home":{"city":"","Zip":0},"Other":[{"city":"","Zip":0}]}`},
	} {
		t.Run(tt.want, func(t *testing.T) {
			got, err := json.Marshal(Example(reflect.TypeOf(tt.v)))
			if err != nil || string(got) != tt.want {
				t.Errorf("%T: %s, %v, want %s", tt.v, got, err, tt.want)
			}
		})
	}
}

func TestAnExampleDecodesIntoItsType(t *testing.T) {
	for _, v := range []any{arithArgs{}, tree{}, address{}, clash{}, tagged{}, either{}, []byte{}, [2]int{}, map[int]bool{}, everything{}} {
		text, err := json.Marshal(Example(reflect.TypeOf(v)))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, reflect.New(reflect.TypeOf(v)).Interface()); err != nil {
			t.Errorf("%T: %s: %v", v, text, err)
		}
	}
}

func TestAnExampleHasNamesThatEncodingHas(t *testing.T) {
	for _, v := range []any{arithArgs{}, clash{}, tagged{}, either{}, everything{}} {
		encoded, _ := json.Marshal(v)
		example, _ := json.Marshal(Example(reflect.TypeOf(v)))
		var want, got map[string]any
		if err := json.Unmarshal(encoded, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(example, &got); err != nil {
			t.Fatal(err)
		}
		for name := range want {
			if _, ok := got[name]; !ok {
				t.Errorf("%T: %s lacks %s", v, example, name)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%T: %s has other names than %s", v, example, encoded)
		}
	}
}

type deep []*[]*[]*[]*[]*[]*[]*[]*[]*deep

func TestAnExampleOfATypeWithoutEndEnds(t *testing.T) {
	if _, err := json.Marshal(Example(reflect.TypeFor[deep]())); err != nil {
		t.Error(err)
	}
}

func TestAMethodHasAnExampleOfItsArgument(t *testing.T) {
	m := method(t, Unary("Mul", func(context.Context, *arithArgs) (*sum, error) { return nil, nil }), "Mul")
	got, err := json.Marshal(m.Example())
	if err != nil || string(got) != `{"a":0,"b":0}` {
		t.Errorf("%s, %v", got, err)
	}
}
