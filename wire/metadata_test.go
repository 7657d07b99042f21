package wire

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestMetadataKeepsOrderAndTheLastValueOfARepeatedKey(t *testing.T) {
	tests := []struct {
		name     string
		in, want Metadata
	}{
		{"order", Metadata{{"b", "1"}, {"a", "2"}}, Metadata{{"b", "1"}, {"a", "2"}}},
		{"empty key and value", Metadata{{"", ""}}, Metadata{{"", ""}}},
		{"keys in two cases are two", Metadata{{"a", "1"}, {"A", "2"}}, Metadata{{"a", "1"}, {"A", "2"}}},
		{"bytes that are no text", Metadata{{"\xff\x00", "\xfe"}}, Metadata{{"\xff\x00", "\xfe"}}},
		{"repeated key", Metadata{{"a", "1"}, {"b", "2"}, {"a", "3"}}, Metadata{{"a", "3"}, {"b", "2"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, _, err := ParseFrame(AppendFrame(nil, &Frame{Metadata: tt.in}), Limits{})
			if err != nil || !reflect.DeepEqual(f.Metadata, tt.want) {
				t.Errorf("got %v, %v, want %v", f.Metadata, err, tt.want)
			}
		})
	}
}

// TestMetadataBehavesLikeAMap compares it with what stock peers use.
func TestMetadataBehavesLikeAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var m Metadata
		model := map[string]string{}
		key := rapid.SampledFrom([]string{"", "a", "b", "c", "A"})
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				k, v := key.Draw(t, "key"), rapid.String().Draw(t, "value")
				m.Set(k, v)
				model[k] = v
			},
			"del": func(t *rapid.T) {
				k := key.Draw(t, "key")
				m.Del(k)
				delete(model, k)
			},
			"": func(t *rapid.T) {
				if len(m) != len(model) {
					t.Fatalf("%d pairs, want %d", len(m), len(model))
				}
				for _, p := range m {
					if v, ok := model[p[0]]; !ok || v != p[1] || m.Get(p[0]) != v {
						t.Fatalf("%q is %q, want %q", p[0], p[1], v)
					}
				}
			},
		})
	})
}

func TestMetadataCostsOneAllocation(t *testing.T) {
	block := string(AppendFrame(nil, &Frame{Metadata: Metadata{{"a", "1"}, {"b", "2"}, {"c", "3"}}})[28:])
	block = block[:30]
	dst := make(Metadata, 0, 3)
	n := testing.AllocsPerRun(100, func() {
		var bad *FrameError
		if dst, bad = appendMetadata(dst[:0], block, 64); bad != nil {
			t.Fatal(bad)
		}
	})
	if n != 0 || len(dst) != 3 {
		t.Errorf("%v allocations behind the block's own, %d pairs", n, len(dst))
	}
}
