package registry

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

type embedded struct{ Words []string }

type node struct {
	Name string
	Next *node
}

type everything struct {
	embedded
	Number int
	Bytes  []byte
	Slice  [][]int
	Map    map[string][]int
	Array  [2][]int
	Chain  *node
	Any    any
	When   time.Time
	Empty  []int
	hidden []int
}

func everythingSet() everything {
	return everything{
		embedded: embedded{[]string{"a"}},
		Number:   1,
		Bytes:    []byte{1},
		Slice:    [][]int{{1}, nil},
		Map:      map[string][]int{"a": {1}},
		Array:    [2][]int{{1}, {2}},
		Chain:    &node{"a", &node{"b", nil}},
		Any:      map[string]any{"a": []any{1}},
		When:     time.Unix(1, 0),
		Empty:    []int{},
		hidden:   []int{1},
	}
}

func TestACloneIsEqualAndSharesNothingThatCanBeReached(t *testing.T) {
	original := everythingSet()
	c := clone(reflect.ValueOf(&original)).Interface().(*everything)
	if !reflect.DeepEqual(*c, original) {
		t.Fatalf("%+v, want %+v", *c, original)
	}
	c.Words[0] = "x"
	c.Bytes[0], c.Slice[0][0], c.Array[1][0] = 9, 9, 9
	c.Map["a"][0] = 9
	c.Map["b"] = nil
	c.Chain.Next.Name = "x"
	c.Any.(map[string]any)["a"].([]any)[0] = 9
	if want := everythingSet(); !reflect.DeepEqual(original, want) {
		t.Errorf("the original became %+v", original)
	}
}

type fieldOf[T any] struct{ X T }

func TestOptionsThatNoManifestCanSetPanicAtRegistration(t *testing.T) {
	for want, check := range map[string]func() error{
		"field X: a manifest cannot set a chan int":    func() error { return checkFields(reflect.TypeFor[fieldOf[chan int]](), nil) },
		"field X: a manifest cannot set a func()":      func() error { return checkFields(reflect.TypeFor[fieldOf[[]func()]](), nil) },
		"field X: a manifest cannot set a [3]int":      func() error { return checkFields(reflect.TypeFor[fieldOf[[3]int]](), nil) },
		"field X: a manifest cannot set a complex64":   func() error { return checkFields(reflect.TypeFor[fieldOf[map[string]complex64]](), nil) },
		"field X: a manifest cannot set a error":       func() error { return checkFields(reflect.TypeFor[fieldOf[error]](), nil) },
		"field X: field X: a manifest cannot set a ch": func() error { return checkFields(reflect.TypeFor[fieldOf[*fieldOf[chan int]]](), nil) },
		`tag min:"abc": not a number`: func() error {
			return checkFields(reflect.TypeFor[struct {
				X int `min:"abc"`
			}](), nil)
		},
		`tag max:"1 minute": time: `: func() error {
			return checkFields(reflect.TypeFor[struct {
				X time.Duration `max:"1 minute"`
			}](), nil)
		},
		`tag min:"1": the field is a string, want a number or a duration`: func() error {
			return checkFields(reflect.TypeFor[struct {
				X string `min:"1"`
			}](), nil)
		},
		`tag enum:"1,2": the field is a int, want a string`: func() error {
			return checkFields(reflect.TypeFor[struct {
				X int `enum:"1,2"`
			}](), nil)
		},
		`tag required:"yes": want true or false`: func() error {
			return checkFields(reflect.TypeFor[struct {
				X int `required:"yes"`
			}](), nil)
		},
		"<nil>": func() error {
			type next struct {
				Next   *next
				Time   time.Time          `yaml:"at"`
				Wait   *time.Duration     `min:"1ms" max:"1h"`
				Names  []string           `enum:"a,b"`
				Shares map[string]uint8   `min:"0" max:"100"`
				Any    any                `doc:"anything"`
				Skip   chan int           `yaml:"-"`
				Rates  map[string]float64 `required:"true"`
				hidden func()
			}
			_ = next{}.hidden
			return checkFields(reflect.TypeFor[next](), nil)
		},
	} {
		if got := fmt.Sprint(check()); !strings.HasPrefix(strings.TrimPrefix(got, "field X: "), strings.TrimPrefix(want, "field X: ")) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	r := New()
	got := mustPanic(t, func() {
		Register("x", fieldOf[chan int]{}, func(context.Context, fieldOf[chan int], Env) (*Service, error) { return nil, nil }, In(r))
	})
	if !strings.Contains(got, `handler "x": options: field X: a manifest cannot set a chan int: unexport the field`) {
		t.Error(got)
	}
}
