package wire

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

type tagged struct {
	A     int `json:"a"`
	Name  string
	Bytes []byte
	Map   map[string]int
	Any   any
}

func TestJSONIsStricterThanEncodingJSONInNamesAndUTF8Only(t *testing.T) {
	tests := []struct {
		name, data string
		want       string // the problem; "" for none
	}{
		{"exact name", `{"a":1}`, ""},
		{"name in another case", `{"A":1,"nAmE":"x"}`, ""},
		{"unknown name", `{"zzz":{"a":[1,2]}}`, ""},
		{"null", `{"a":null}`, ""},
		{"bytes", `{"Bytes":"AAE="}`, ""},
		{"duplicate name", `{"a":1,"a":2}`, "duplicate name"},
		{"duplicate name in another case", `{"a":1,"A":2}`, "duplicate name"},
		{"duplicate unknown name", `{"z":1,"z":2}`, "duplicate name"},
		{"duplicate name in a map", `{"Map":{"k":1,"k":2}}`, "duplicate name"},
		{"duplicate name in an any", `{"Any":{"k":1,"k":2}}`, "duplicate name"},
		{"invalid UTF-8 in a value", "{\"Name\":\"\xff\"}", "invalid syntax"},
		{"invalid UTF-8 in a name", "{\"\xff\":1}", "invalid syntax"},
		{"lone surrogate", `{"Name":"\ud800"}`, "invalid syntax"},
		{"string for a number", `{"a":"1"}`, "expected an integer, got a string at byte 5 (in \"/a\")"},
		{"fraction for an int", `{"a":1.5}`, "expected an integer from -9223372036854775808 to 9223372036854775807"},
		{"array for an object", `[]`, "expected an object, got an array"},
		{"number beyond int64", `{"a":9223372036854775808}`, "expected an integer from -9223372036854775808 to 9223372036854775807"},
		{"cut off", `{"a":`, "unexpected end"},
		{"trailing comma", `{"a":1,}`, "invalid syntax"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Decode(JSON, []byte(tt.data), new(tagged))
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got, std tagged
			if err := json.Unmarshal([]byte(tt.data), &std); err != nil {
				t.Fatal(err)
			}
			if err := Decode(JSON, []byte(tt.data), &got); err != nil {
				t.Fatal(err)
			}
			g, _ := json.Marshal(got)
			s, _ := json.Marshal(std)
			if string(g) != string(s) {
				t.Errorf("got %s, encoding/json %s", g, s)
			}
		})
	}
}

func TestJSONIsWrittenAsEncodingJSONDoes(t *testing.T) {
	values := []any{
		tagged{A: 1, Name: "<a&b>\u2028", Bytes: []byte{1, 2}, Map: map[string]int{"b": 1, "a": 2}, Any: 1.5e30},
		tagged{},
		map[string]any{"x": nil, "y": []int(nil), "z": [2]byte{1, 2}},
		"text", 17, nil,
		[]string{},
	}
	for _, v := range values {
		want, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Append(JSON, nil, v)
		if err != nil || string(got) != string(want) {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}

func TestStructTagsThatEncodingJSONIgnoresDoNoHarm(t *testing.T) {
	var odd struct {
		A int `json:"a,nosuchoption,"`
		B int `json:"b"`
	}
	if err := Decode(JSON, []byte(`{"a":1,"b":2}`), &odd); err != nil || odd.A != 1 || odd.B != 2 {
		t.Errorf("got %+v, %v", odd, err)
	}
}

// level is a number that is written as a text.
type level int8

func (*level) UnmarshalText([]byte) error { return nil }

func TestErrorsNameWhatTagsRequire(t *testing.T) {
	type odd struct {
		A int `json:"a,nosuchoption,"`
		B struct {
			C []int `json:"c"`
		} `json:"b"`
	}
	for _, tt := range []struct {
		data, want string
		into       any
	}{
		{`{"id":5}`, "expected an integer in a string, got a number at byte 6", new(struct {
			ID int64 `json:"id,string"`
		})},
		{`{"id":1.5}`, "expected a number in a string, got a number at byte 6", new(struct {
			ID float64 `json:"id,string"`
		})},
		{`{"id":500}`, "expected an integer from -128 to 127", new(struct {
			ID int8 `json:"id"`
		})},
		{`{"level":3}`, "expected a string in a specific format, got a number at byte 9", new(struct {
			Level level `json:"level"`
		})},
		{`{"a":"x"}`, "expected an integer, got a string before byte 8 (in \"/a\")", new(odd)},
		{`{"a":1.5}`, "expected an integer from -9223372036854775808 to 9223372036854775807", new(odd)},
		{`{"b":{"c":{}}}`, "expected an array, got an object", new(odd)},
		{`{"b":[]}`, "expected an object, got an array", new(odd)},
	} {
		err := Decode(JSON, []byte(tt.data), tt.into)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.data, err, tt.want)
		}
	}
	unknown := new(UnknownMemberError)
	for data, path := range map[string]string{`{"a":1,"colour":2}`: "/colour", `[{"a":1,"b":{"C":[1],"d":{}}}]`: "/0/b/d"} {
		var into any = new(odd)
		if data[0] == '[' {
			into = new([]odd)
		}
		if err := DecodeKnown([]byte(data), into); !errors.As(err, &unknown) || unknown.Path != path || len(unknown.Known) == 0 {
			t.Errorf("got %v, want %s", err, path)
		}
	}
}
