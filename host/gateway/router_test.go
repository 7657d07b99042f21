package gateway

import (
	"strings"
	"testing"

	"github.com/easymicro/easymicro/wire/code"
)

func TestGetIsForTheMethodsThatAllowIt(t *testing.T) {
	b := &backend{}
	url := "http://" + serve(t, b, Options{Get: []string{"arith.mul"}})
	for _, tc := range []struct {
		method, path, body string
		status             int
		want               string
		allow              string
	}{
		{"GET", "/Arith/Mul?a=73&b=1500", "", 200, line, ""},
		{"GET", "/arith/mul?A=73&B=1500", "", 200, line, ""},
		{"GET", "/Arith/Mul?a=x", "", 400, `parameter \"a\" is not an integer`, ""},
		{"GET", "/Arith/Mul?a=73&x=1&b=1500", "", 200, line, ""},
		{"GET", "/Arith/Mul?a=1;b=2", "", 400, "query string", ""},
		{"GET", "/Arith/Div?a=1", "", 405, "GET is not allowed here, use POST", "POST"},
		{"HEAD", "/Arith/Mul?a=73&b=1500", "", 200, "", ""},
		{"HEAD", "/Arith/Mul?a=x", "", 400, "", ""},
		{"HEAD", "/Arith/Div?a=1", "", 405, "", "POST"},
		{"PUT", "/Arith/Mul", "{}", 405, "use GET or HEAD or POST", "GET, HEAD, POST"},
		{"DELETE", "/Arith/Nope", "", 404, "no method", ""},
		{"GET", "/", "", 404, "POST /{service}/{method}", ""},
		{"POST", "/Arith/Mul", `{"a":73,"b":1500}`, 200, line, ""},
	} {
		r := do(t, tc.method, url+tc.path, tc.body)
		if r.StatusCode != tc.status || r.Header.Get("Allow") != tc.allow || tc.method != "HEAD" && !strings.Contains(r.body, strings.ReplaceAll(tc.want, "`", "\"")) {
			t.Errorf("%s %s: %d Allow %q %s", tc.method, tc.path, r.StatusCode, r.Header.Get("Allow"), r.body)
		}
	}
	if f, _ := b.lastCall(); f.Codec.String() != "json" {
		t.Errorf("codec %s", f.Codec)
	}
}

func TestRoutesMapPathsToMethods(t *testing.T) {
	url := "http://" + serve(t, &backend{}, Options{Get: []string{"Arith.Mul"}, Routes: []Route{
		{Path: "/v1/mul", Service: "Arith", Method: "Mul"},
		{Path: "/v1/mul/{a}/by/{b}", Methods: []string{"GET", "PUT"}, Service: "Arith", Method: "Mul"},
		{Path: "/Arith/Div", Methods: []string{"PUT"}, Service: "Arith", Method: "Mul"},
	}})
	for _, tc := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/v1/mul", `{"a":73,"b":1500}`, 200, line},
		{"GET", "/v1/mul", "", 405, "use POST"},
		{"GET", "/v1/mul/73/by/1500", "", 200, line},
		{"GET", "/v1/mul/73/by/1500?a=1", "", 400, "more than once"},
		{"GET", "/v1/mul/x/by/1500", "", 400, "an integer"},
		{"PUT", "/v1/mul/73/by/1500", "", 200, line},
		{"PUT", "/v1/mul/73/by/1500", "{ }", 200, line},
		{"PUT", "/v1/mul/73/by/1500", `{"c":1}`, 200, line},
		{"PUT", "/v1/mul/73/by/1500", `{"a":1}`, 400, "bad_payload"},
		{"PUT", "/v1/mul/73/by/1500", `{"A":1}`, 400, "bad_payload"},
		{"PUT", "/v1/mul/73/by/1500", `[1]`, 400, "not a JSON object"},
		{"PATCH", "/v1/mul/73/by/1500", "{}", 405, "use GET or HEAD or PUT"},
		{"PUT", "/Arith/Div", `{"a":73,"b":1500}`, 200, line},
		{"POST", "/Arith/Div", `{"a":6,"b":3}`, 200, `{"c":2}`},
	} {
		r := do(t, tc.method, url+tc.path, tc.body)
		if r.StatusCode != tc.status || !strings.Contains(r.body, tc.want) {
			t.Errorf("%s %s %s: %d %s", tc.method, tc.path, tc.body, r.StatusCode, r.body)
		}
	}
}

func TestARouteAndGetMayNameAMethodByDifferentAliases(t *testing.T) {
	b := &backend{aliases: []string{"Maths", "Sums"}}
	for _, get := range []string{"Arith.Div", "Maths.Div", "Sums.div"} {
		url := "http://" + serve(t, b, Options{Get: []string{get}, Routes: []Route{
			{Path: "/v1/div", Methods: []string{"GET"}, Service: "Maths", Method: "Div"},
		}})
		for _, path := range []string{"/v1/div?a=6&b=3", "/Maths/Div?a=6&b=3", "/Arith/Div?a=6&b=3"} {
			if r := do(t, "GET", url+path, ""); r.StatusCode != 200 || r.body != `{"c":2}`+"\n" {
				t.Errorf("get has %s: %s: %d %s", get, path, r.StatusCode, r.body)
			}
		}
	}
	_, err := New(Options{Handler: b, Resolve: b.resolve, Routes: []Route{
		{Path: "/v1/div", Methods: []string{"GET"}, Service: "Maths", Method: "Div"},
	}})
	if err == nil || !strings.Contains(err.Error(), "GET needs Arith.Div in gateway.get") {
		t.Errorf("without get: %v", err)
	}
}

func TestA405NamesTheMethodOfTheRoute(t *testing.T) {
	url := "http://" + serve(t, &backend{}, Options{Routes: []Route{
		{Path: "/v1/mul", Service: "Arith", Method: "Mul"},
		{Path: "/v1/both", Service: "Arith", Method: "Mul"},
		{Path: "/v1/both", Methods: []string{"PUT"}, Service: "Arith", Method: "Div"},
	}})
	for _, tc := range []struct{ path, service, method, detail string }{
		{"/v1/mul", "Arith", "Mul", "GET is not allowed here, use POST"},
		{"/v1/both", "", "", "GET is not allowed here, use POST or PUT"},
		{"/arith/mul", "Arith", "Mul", `GET is not allowed here, use POST`},
	} {
		r := do(t, "GET", url+tc.path, "")
		if p := r.problem; r.StatusCode != 405 || p.Service != tc.service || p.Method != tc.method || p.Detail != tc.detail {
			t.Errorf("%s: %d %s", tc.path, r.StatusCode, r.body)
		}
	}
}

func TestUnknownNamesGetTheHandlersError(t *testing.T) {
	unknown := func(service, method string) *code.Error {
		return code.Refuse(code.Unimplemented, code.ReasonUnknownMethod, "no service "+service+" for "+method, "", host, 0)
	}
	url := "http://" + serve(t, &backend{}, Options{Unknown: unknown})
	for _, method := range []string{"GET", "PUT", "OPTIONS"} {
		if r := do(t, method, url+"/v2/mul", ""); r.StatusCode != 404 || r.problem.Detail != "no service v2 for mul" {
			t.Errorf("%s: %d %s", method, r.StatusCode, r.body)
		}
	}
	url = "http://" + serve(t, &backend{}, Options{})
	if r := do(t, "GET", url+"/v2/mul", ""); r.problem.Detail != `no method "v2.mul"` {
		t.Errorf("without Unknown: %s", r.body)
	}
}

func TestConflictingRoutesAreProblems(t *testing.T) {
	b := &backend{aliases: []string{"Maths"}}
	for _, tc := range []struct {
		name   string
		routes []Route
		want   string // "" for none
	}{
		{
			"equal",
			[]Route{{Path: "/v1/mul", Service: "Arith", Method: "Mul"}, {Path: "/v1/mul", Service: "Arith", Method: "Div"}},
			`gateway.routes[1].path: "POST /v1/mul" conflicts with routes[0] ("POST /v1/mul")`,
		},
		{
			"overlapping",
			[]Route{
				{Path: "/other", Service: "Arith", Method: "Mul"},
				{Path: "/g/{a}/x", Service: "Arith", Method: "Mul"},
				{Path: "/g/x/{b}", Service: "Arith", Method: "Mul"},
			},
			`gateway.routes[2].path: "POST /g/x/{b}" conflicts with routes[1] ("POST /g/{a}/x")`,
		},
		{"twice the method", []Route{{Path: "/v1", Methods: []string{"PUT", "PUT"}, Service: "Arith", Method: "Mul"}}, "gateway.routes[0].methods[1]: PUT is listed twice"},
		{"the path of another", []Route{{Path: "/Arith/Mul", Service: "Arith", Method: "Div"}}, "gateway.routes[0].path: POST /Arith/Mul is the built-in path of Arith.Mul and cannot lead to Arith.Div"},
		{"escaped", []Route{{Path: "/Maths/m%75l", Service: "Arith", Method: "Div"}}, "is the built-in path of Arith.Mul"},
		{"by GET", []Route{{Path: "/arith/mul", Methods: []string{"GET"}, Service: "Arith", Method: "Div"}}, "GET /arith/mul is the built-in path of Arith.Mul"},
		{"by PUT, which it has not", []Route{{Path: "/Arith/Mul", Methods: []string{"PUT"}, Service: "Arith", Method: "Div"}}, ""},
		{"its own", []Route{{Path: "/Arith/Mul", Service: "Maths", Method: "Mul"}}, ""},
	} {
		_, err := New(Options{Handler: b, Resolve: b.resolve, Get: []string{"Arith.Mul", "Arith.Div"}, Routes: tc.routes})
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

func TestHeadersCannotTurnARouteIntoAnother(t *testing.T) {
	url := "http://" + serve(t, &backend{}, Options{Routes: []Route{{Path: "/v1/mul", Service: "Arith", Method: "Mul"}}}) + "/v1/mul"
	if r := do(t, "POST", url, "{}", "X-RPCX-ServicePath: Arith", "X-RPCX-ServiceMethod: Div"); r.StatusCode != 400 {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
	if r := do(t, "POST", url, `{"a":73,"b":1500}`, "X-RPCX-MessageID: 1"); r.body != product || r.Header.Get("X-Rpcx-Servicemethod") != "Mul" {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

func TestAllInvalidOptionsAreReportedWithTheirPaths(t *testing.T) {
	b := &backend{}
	_, err := New(Options{Handler: b, Resolve: b.resolve, Get: []string{"Arith", "Arith.Nope", "Arith.Mul"}, Routes: []Route{
		{Path: "/a", Service: "Arith", Method: "Nope"},
		{Path: "b", Service: "Arith", Method: "Mul"},
		{Path: "/c", Methods: []string{"get"}, Service: "Arith", Method: "Mul"},
		{Path: "/d", Methods: []string{"GET"}, Service: "Arith", Method: "Div"},
		{Path: "/e/{x}", Service: "Arith", Method: "Mul"},
		{Path: "/f", Service: "Arith", Method: "Mul"},
		{Path: "/f", Service: "Arith", Method: "Div"},
		{Path: "/g/{a}/x", Service: "Arith", Method: "Mul"},
		{Path: "/g/x/{b}", Service: "Arith", Method: "Mul"},
		{Path: "/h/{", Service: "Arith", Method: "Mul"},
	}, AllowOrigins: []string{"app.example"}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"gateway.get[0]: ", "gateway.get[1]: no method Arith.Nope",
		"gateway.routes[0]: no method Arith.Nope", "gateway.routes[1].path: ", "gateway.routes[2].methods[0]: ",
		"gateway.routes[3].methods[0]: GET needs Arith.Div in gateway.get", "gateway.routes[4].path: {x} is not a member",
		"gateway.routes[6].path: ", "gateway.routes[8].path: ", "gateway.routes[9].path: ", "gateway.cors.allowOrigins[0]: ",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing %q in\n%v", want, err)
		}
	}
	if n := len(err.(OptionErrors)); n != 11 { //nolint:errorlint // New promises the type
		t.Errorf("%d problems:\n%v", n, err)
	}
	if strings.Contains(err.Error(), ".go:") {
		t.Errorf("names positions in this program:\n%v", err)
	}
}
