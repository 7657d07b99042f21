package cli

import (
	"math"
	"reflect"
	"testing"

	"github.com/easymicro/easymicro/wire"
)

func TestNumbersWithoutAFractionAreIntegers(t *testing.T) {
	for _, tt := range []struct {
		json string
		want any // nil for an error
	}{
		{"6", int64(6)},
		{"-6", int64(-6)},
		{"0", int64(0)},
		{"-0", int64(0)},
		{"9007199254740993", int64(9007199254740993)}, // no float64 has it
		{"-9223372036854775808", int64(math.MinInt64)},
		{"18446744073709551615", uint64(math.MaxUint64)},
		{"1e3", int64(1000)},
		{"1E+3", int64(1000)},
		{"-2e0", int64(-2)},
		{"1e19", uint64(1e19)},
		{"1e-3", 0.001},
		{"1e300", 1e300},
		{"6.0", 6.0},
		{"-0.0", math.Copysign(0, -1)},
		{"1.5e3", 1500.0},
		{"18446744073709551616", nil},
		{"-9223372036854775809", nil},
		{"1e999", nil},
		{`{"A":6,"list":[1,2.5,{"B":7}],"s":"6"}`, map[string]any{
			"A": int64(6), "list": []any{int64(1), 2.5, map[string]any{"B": int64(7)}}, "s": "6",
		}},
	} {
		got, err := withIntegers([]byte(tt.json))
		if tt.want == nil {
			if err == nil {
				t.Errorf("%s is %v", tt.json, got)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s is %T %v, want %T %v (%v)", tt.json, got, got, tt.want, tt.want, err)
		}
	}
}

// Without the method's types, call sends the same bytes as with them.
func TestCallWithoutTypesSendsTheSameMsgpack(t *testing.T) {
	c := converter{codec: wire.Msgpack}
	payload, err := c.encode([]byte(`{"A":6,"B":7}`))
	if err != nil {
		t.Fatal(err)
	}
	var args struct{ A, B int }
	if err := wire.Decode(wire.Msgpack, payload, &args); err != nil || args.A != 6 || args.B != 7 {
		t.Errorf("% x is %+v, %v", payload, args, err)
	}
	if _, err := c.encode([]byte(`{"A":1,"A":2}`)); err == nil {
		t.Error("a name twice is taken")
	}
}
