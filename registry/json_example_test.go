package registry

import (
	"context"
	"encoding/json"
	"reflect"
	"strings"
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

// dashed is made here because linters reject such a tag.
var dashed = reflect.StructOf([]reflect.StructField{{Name: "Dash", Type: reflect.TypeFor[int](), Tag: `json:"-,"`}})

func TestAnExampleShowsTheShapeInJSON(t *testing.T) {
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
			got, err := json.Marshal(example(reflect.TypeOf(tt.v), nil))
			if err != nil || string(got) != tt.want {
				t.Errorf("%T: %s, %v, want %s", tt.v, got, err, tt.want)
			}
		})
	}
}

func TestAnExampleDecodesIntoItsType(t *testing.T) {
	for _, v := range []any{arithArgs{}, tree{}, address{}, clash{}, tagged{}, either{}, []byte{}, [2]int{}, map[int]bool{}, everything{}} {
		text, err := json.Marshal(example(reflect.TypeOf(v), nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, reflect.New(reflect.TypeOf(v)).Interface()); err != nil {
			t.Errorf("%T: %s: %v", v, text, err)
		}
	}
}

func TestAnExampleHasTheNamesOfEncodingJSON(t *testing.T) {
	for _, v := range []any{arithArgs{}, clash{}, tagged{}, either{}, everything{}} {
		encoded, _ := json.Marshal(v)
		shown, _ := json.Marshal(example(reflect.TypeOf(v), nil))
		var want, got map[string]any
		if err := json.Unmarshal(encoded, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(shown, &got); err != nil {
			t.Fatal(err)
		}
		for name := range want {
			if _, ok := got[name]; !ok {
				t.Errorf("%T: %s lacks %s", v, shown, name)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%T: %s has other names than %s", v, shown, encoded)
		}
	}
}

type deep []*[]*[]*[]*[]*[]*[]*[]*[]*deep

func TestAnExampleOfARecursiveTypeEnds(t *testing.T) {
	if _, err := json.Marshal(example(reflect.TypeFor[deep](), nil)); err != nil {
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

type shown struct{}

type shownArgs struct {
	N int `json:"n"`
}

func (shown) Double(context.Context, *shownArgs, *shownArgs) error { return nil }

func (shown) Half(context.Context, *shownArgs, *shownArgs) error { return nil }

func TestAnExampleBelongsToOneMethod(t *testing.T) {
	r := New()
	Plain(shown{}, In(r), As("shown"), Example("Double", shownArgs{N: 21}))
	e, _ := r.Lookup("shown")
	for i, want := range []string{`{"n":21}`, `{"n":0}`} {
		got, err := json.Marshal(e.Example(e.Methods[i]))
		if err != nil || string(got) != want {
			t.Errorf("example of %s is %s, %v; want %s", e.Methods[i].Name, got, err, want)
		}
		if e.HasExample(e.Methods[i].Name) != (i == 0) {
			t.Errorf("HasExample(%s) is wrong", e.Methods[i].Name)
		}
	}
}

func TestAnExampleOfTheWrongTypePanics(t *testing.T) {
	for want, o := range map[string]Option{
		"method not found": Example("Triple", shownArgs{}),
		"want a *":         Example("Double", 21),
	} {
		func() {
			defer func() {
				if text, _ := recover().(string); !strings.Contains(text, want) {
					t.Errorf("panicked with %q, want %q in it", text, want)
				}
			}()
			Plain(shown{}, In(New()), As("shown"), o)
		}()
	}
}
