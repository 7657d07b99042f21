package admin

import "testing"

func TestMethodsAreNamedAsInCommandsAndAsInMetrics(t *testing.T) {
	for _, tt := range []struct{ name, service, method string }{
		{"Arith.Mul", "Arith", "Mul"},
		{"Arith/Mul", "Arith", "Mul"},
		{"/Arith/Mul", "Arith", "Mul"},
		{"shop.v1.Orders.Get", "shop.v1.Orders", "Get"},
		{"shop.v1.Orders/Get", "shop.v1.Orders", "Get"},
		{"shop/Orders/Get", "shop/Orders", "Get"},
		{"shop/Orders.Get", "shop/Orders", "Get"},
		{"Arith", "", ""},
		{"/Arith", "", ""},
		{"Arith.", "", ""},
		{"Arith/", "", ""},
		{".Mul", "", ""},
		{"/", "", ""},
		{"", "", ""},
	} {
		service, method, ok := SplitMethod(tt.name)
		if service != tt.service || method != tt.method || ok != (tt.method != "") {
			t.Errorf("%q is %q and %q (%v)", tt.name, service, method, ok)
		}
	}
}
