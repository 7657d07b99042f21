package registry

import (
	"reflect"
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
