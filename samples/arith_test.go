package samples_test

import (
	"testing"

	"github.com/easymicro/easymicro/registry/registrytest"
	"github.com/easymicro/easymicro/samples"
)

func TestArithCalculates(t *testing.T) {
	h := registrytest.Open(t, "samples.arith")
	for _, tt := range []struct {
		method string
		args   samples.Args
		want   int
		err    string
	}{
		{"Mul", samples.Args{A: 73, B: 1500}, 109500, ""},
		{"Div", samples.Args{A: -7, B: 2}, -3, ""},
		{"Div", samples.Args{A: 7}, 0, "divide by zero"},
	} {
		got, err := registrytest.Call[samples.Reply](t.Context(), h, tt.method, tt.args)
		switch {
		case tt.err != "" && (err == nil || err.Error() != tt.err):
			t.Errorf("%s%v: %v, want %s", tt.method, tt.args, err, tt.err)
		case tt.err == "" && (err != nil || got.C != tt.want):
			t.Errorf("%s%v: %v, %v, want %d", tt.method, tt.args, got, err, tt.want)
		}
	}
}
