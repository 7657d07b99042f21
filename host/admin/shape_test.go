package admin

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

type base struct {
	ID string `json:"id"`
}

type tree struct {
	base
	Left   *tree
	Names  []string       `json:"names,omitempty"`
	Counts map[string]int `json:"counts"`
	Raw    []byte
	At     time.Time
	Any    any
	Share  float64 `json:"-"`
	hidden int
	Proto  bool `protobuf:"varint,1,opt,name=is_proto,json=isProto,proto3" json:"is_proto,omitempty"`
}

func TestAShapeHasTheNamesThatJSONHas(t *testing.T) {
	_ = tree{hidden: 1}
	s := ShapeOf(reflect.TypeFor[*tree]())
	if s.Type != "object" || s.Go != "admin.tree" {
		t.Errorf("%+v", s)
	}
	var got []string
	for _, f := range s.Fields {
		word := f.Name + " " + f.Type
		if f.Optional {
			word += "?"
		}
		got = append(got, word)
	}
	want := []string{"id string", "Left object?", "names array?", "counts map", "Raw bytes", "At time", "Any any", "isProto boolean?"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if items := s.Fields[2].Items; items == nil || items.Type != "string" {
		t.Errorf("items %+v", items)
	}
	if b, err := json.Marshal(s); err != nil || len(b) > 20000 {
		t.Errorf("a type within itself makes %d bytes, %v", len(b), err)
	}
	if ShapeOf(nil).Type != "any" {
		t.Error("nil")
	}
}
