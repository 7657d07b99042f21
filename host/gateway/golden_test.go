package gateway

import (
	"bufio"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// recorded is a request to the HTTP gateway of a stock peer, with the response.
type recorded struct {
	Name            string
	Method, Path    string
	Headers         map[string]string
	Body            string
	Status          int
	ResponseHeaders map[string]string `json:"response_headers"`
	ResponseBody    string            `json:"response_body"`
}

func recordings(t *testing.T) []recorded {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "wire", "testdata", "golden", "rpcx-http.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []recorded
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var r recorded
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// ourStatus holds the statuses that differ from the recorded ones.
var ourStatus = map[string]int{"http-unknown-method": 404}

func TestRecordedRequestsAreServedWithTheHeadersOfTheirFamily(t *testing.T) {
	all := recordings(t)
	if len(all) == 0 {
		t.Fatal("no recordings")
	}
	url := "http://" + serve(t, &backend{}, Options{})
	for _, r := range all {
		for _, family := range []string{"X-RPCX-", "Easymicro-"} {
			t.Run(r.Name+"/"+strings.Trim(family, "-"), func(t *testing.T) { replay(t, url, r, family) })
		}
	}
}

func replay(t *testing.T, url string, r recorded, family string) {
	t.Helper()
	var header []string
	for k, v := range r.Headers {
		header = append(header, strings.Replace(k, "X-RPCX-", family, 1)+": "+v)
	}
	got := do(t, r.Method, url+r.Path, r.Body, header...)
	want := r.Status
	if s, ok := ourStatus[r.Name]; ok {
		want = s
	}
	if got.StatusCode != want {
		t.Fatalf("status %d, want %d: %s", got.StatusCode, want, got.body)
	}
	if want == 200 && !strings.EqualFold(got.body, r.ResponseBody) { // the recorded fields are untagged
		t.Errorf("body %s, want %s", got.body, r.ResponseBody)
	}
	if want != 200 && got.problem.Code == "" {
		t.Errorf("no problem+json: %s", got.body)
	}
	for k, v := range r.ResponseHeaders {
		name, ours := strings.CutPrefix(k, "X-Rpcx-")
		if !ours {
			continue
		}
		values := got.Header.Values(family + name)
		if v == "" && family == "Easymicro-" { // no recording has these
			if len(values) != 0 {
				t.Errorf("header %s%s: %q", family, name, values)
			}
			continue
		}
		if len(values) != 1 {
			t.Errorf("header %s%s: %q", family, name, values)
			continue
		}
		if name == "Errormessage" && r.Name != "http-error" { // the text is the peer's own
			v = got.problem.Code + ": " + got.problem.Detail + " on " + host
		}
		if values[0] != v {
			t.Errorf("header %s%s is %q, want %q", family, name, values[0], v)
		}
	}
}

func TestFamilyHeadersNameTheMethodAndCodec(t *testing.T) {
	b := &backend{}
	url := "http://" + serve(t, b, Options{})
	for _, tc := range []struct {
		path   string
		header []string
		status int
	}{
		{"/Arith/Mul", []string{"Easymicro-Version: 1.1", "Easymicro-SerializeType: 1", "easymicro-messageid: 1"}, 200},
		{"/Arith", []string{"Easymicro-ServiceMethod: Mul"}, 200},
		{"/", []string{"Easymicro-ServicePath: Arith", "Easymicro-ServiceMethod: Mul"}, 200},
		{"/arith/mul", []string{"Easymicro-ServicePath: Arith", "Easymicro-ServiceMethod: Mul"}, 200},
		{"/Arith/Mul", []string{"Easymicro-SerializeType: 1", "Content-Type: text/plain"}, 200},
		{"/Arith/Mul", []string{"Easymicro-Anything: 1"}, 200},
		{"/Arith", []string{"Easymicro-Version: 1.1"}, 404},
		{"/", []string{"Easymicro-ServiceMethod: Mul"}, 404},
		{"/Arith/Mul", []string{"Easymicro-ServiceMethod: Div"}, 400},
		{"/Arith/Mul", []string{"Easymicro-ServicePath: Other"}, 400},
		{"/Arith", []string{"Easymicro-ServiceMethod: Mul", "Easymicro-ServiceMethod: Div"}, 400},
		{"/Arith/Mul", []string{"Easymicro-SerializeType: 9"}, 415},
		{"/Arith/Mul", []string{"Easymicro-SerializeType: json"}, 415},
		{"/Arith/Mul", []string{"Easymicro-MessageID: -1"}, 400},
		{"/Arith/Mul", []string{"Easymicro-Meta: a=%zz"}, 400},
	} {
		r := do(t, "POST", url+tc.path, `{"a":73,"b":1500}`, tc.header...)
		if r.StatusCode != tc.status || tc.status == 200 && r.body != product {
			t.Errorf("%s %q: %d %s", tc.path, tc.header, r.StatusCode, r.body)
		}
		if tc.status != 200 && (r.Header.Get("Easymicro-Messagestatustype") != "Error" || r.Header.Get("Easymicro-Errormessage") != r.problem.Code+": "+r.problem.Detail+" on "+host) {
			t.Errorf("%s %q: answered with %v", tc.path, tc.header, r.Header)
		}
	}
}

func TestEmptyHeadersAreLeftOut(t *testing.T) {
	url := "http://" + serve(t, &backend{}, Options{})
	for _, tc := range []struct {
		path, header string
		empty        []string // headers without a value in the recordings
	}{
		{"/Arith/Mul", "Easymicro-SerializeType: 1", nil},
		{"/Arith/Mul", "X-RPCX-SerializeType: 1", []string{"X-Rpcx-Meta", "X-Rpcx-Version"}},
		{"/Arith/Nope", "Easymicro-SerializeType: 1", nil},
		{"/", "Easymicro-SerializeType: 1", nil},
		{"/", "X-RPCX-SerializeType: 1", []string{"X-Rpcx-Version"}},
	} {
		r := do(t, "POST", url+tc.path, `{"a":73,"b":1500}`, tc.header)
		var empty []string
		for _, k := range slices.Sorted(maps.Keys(r.Header)) {
			if r.Header.Get(k) == "" {
				empty = append(empty, k)
			}
		}
		if !slices.Equal(empty, tc.empty) {
			t.Errorf("%s %s: empty are %q, want %q", tc.path, tc.header, empty, tc.empty)
		}
	}
}

func TestAHeartbeatIsAnsweredWithoutACall(t *testing.T) {
	b := &backend{}
	url := "http://" + serve(t, b, Options{})
	r := do(t, "POST", url+"/Arith/Mul", "", "X-RPCX-Heartbeat: true", "X-RPCX-MessageID: 4")
	if _, call := b.lastCall(); r.StatusCode != 200 || r.body != "" || r.Header.Get("X-Rpcx-Messageid") != "4" || call != nil {
		t.Errorf("%d %s %v", r.StatusCode, r.body, r.Header)
	}
}

func TestErrorTextsFitIntoAHeader(t *testing.T) {
	for text, want := range map[string]string{
		"divide\r\nX-Injected: 1": "divide  X-Injected: 1",
		" \x00tab\there ":         "tab here",
		"größer":                  "größer",
	} {
		if got := headerText(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
	if n := len(headerText(strings.Repeat("x", 1<<20))); n != maxHeaderText {
		t.Errorf("a long text has %d bytes", n)
	}
}
