package route

import (
	"testing"

	"github.com/easymicro/easymicro/config"
)

func TestNoSpellingOfAMethodGetsAroundARule(t *testing.T) {
	s := newSpelling([]config.Rule{
		{Match: config.Match{Method: []string{"Mul", "Get*"}}},
		{Match: config.Match{Method: []string{"*Invoice", "*", "A*b*C"}}},
		{Access: &config.Access{Allow: []config.AccessEntry{{Methods: []string{"Div"}}}, Deny: []config.AccessEntry{{Methods: []string{"Export*All"}}}}},
	})
	for _, tc := range []struct{ called, asked string }{
		{"Mul", "Mul"},
		{"mul", "Mul"},
		{"mUL", "Mul"},
		{"dIV", "Div"},
		{"getX", "GetX"},
		{"GETinvoice", "GetInvoice"},
		{"get", "Get"},
		{"xINVOICE", "xInvoice"},
		{"EXPORTforALL", "ExportforAll"},
		{"exportall", "ExportAll"},
		{"exportal", "exportal"},
		{"axBBxc", "AxbBxC"},
		{"ac", "ac"},
		{"Other", "Other"},
		{"", ""},
	} {
		if got := s.of(tc.called); got != tc.asked {
			t.Errorf("%s: rules are asked about %s, want %s", tc.called, got, tc.asked)
		}
	}
}
