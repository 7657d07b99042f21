package quickstart_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/samples"
)

const (
	body = `{"a":73,"b":1500}`
	want = `{"c":109500}`
)

func start(t *testing.T) *hosttest.Host {
	t.Helper()
	return hosttest.StartCopy(t, ".", hosttest.Options{})
}

func TestCurlCallsAMethod(t *testing.T) {
	h := start(t)
	form := []string{"Content-Type", "application/x-www-form-urlencoded"} // sent by curl -d
	family := append([]string{"Easymicro-Version", "1.1", "Easymicro-SerializeType", "1", "Easymicro-Messageid", "1"}, form...)
	for _, tt := range []struct {
		name, path string
		headers    []string
	}{
		{"as the host names it", "/Arith/Mul", form},
		{"in lower case", "/Arith/mul", form},
		{"as JSON", "/Arith/Mul", []string{"Content-Type", "application/json"}},
		{"without a type", "/Arith/Mul", nil},
		{"with the headers of the first easymicro", "/Arith/Mul", family},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, got := h.Post(tt.path, body, tt.headers...)
			if res.StatusCode != http.StatusOK || strings.TrimSpace(got) != want {
				t.Errorf("%s %s, want %s", res.Status, got, want)
			}
		})
	}
}

func TestTheHeadersOfTheOriginalAreReturned(t *testing.T) {
	res, _ := start(t).Post("/Arith/Mul", body, "Easymicro-Version", "1.1", "Easymicro-SerializeType", "1", "Easymicro-Messageid", "7")
	for key, want := range map[string]string{
		"Easymicro-Version": "1.1", "Easymicro-Serializetype": "1", "Easymicro-Messageid": "7",
		"Easymicro-Servicepath": "Arith", "Easymicro-Servicemethod": "Mul",
	} {
		if got := res.Header.Get(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

func TestTheSamePortSpeaksRpcx(t *testing.T) {
	c := start(t).Dial()
	for _, method := range []string{"Mul", "mul"} {
		var got samples.Reply
		if err := hosttest.CallJSON(t.Context(), c, "Arith", method, samples.Args{A: 73, B: 1500}, &got); err != nil || got.C != 109500 {
			t.Errorf("%s: %v, %v", method, got, err)
		}
	}
}

func TestCommandsReachTheHost(t *testing.T) {
	h := start(t)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"call", "Arith.Mul", body, "--address", h.Address}, want},
		{[]string{"call", "Arith.Mul", body, "--address", h.Address, "--codec", "msgpack", "-c", "easymicro.yaml"}, want},
		{[]string{"call", "Arith.Mul", body, "--address", h.Address, "--http"}, want},
		{[]string{"explain", "Arith.Mul", "--admin", h.AdminAddr().String()}, "policies.yaml:6"},
		{[]string{"list", "--admin", h.AdminAddr().String()}, "Arith.Mul"},
	} {
		var out, err bytes.Buffer
		exit := cli.Run(t.Context(), tt.args, cli.IO{In: strings.NewReader(""), Out: &out, Err: &err})
		if exit != cli.ExitOK || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%v: exit %d: %s%s", tt.args, exit, out.String(), err.String())
		}
	}
}

func TestASavedLimitAppliesToTheNextCall(t *testing.T) {
	h := start(t)
	h.Edit("policies.yaml", "rate: 500, per: 1s, burst: 1000", "rate: 1, per: 1s, burst: 1")
	r := h.Revision()
	const change = "arith-mul: rateLimit.rate 500 → 1, burst 1000 → 1 (policies.yaml:6)"
	if r.Result != host.ResultApplied || r.Changes.String() != change {
		t.Fatalf("r%d %s: %v %v, want %s", r.Number, r.Result, r.Changes, r.Problems, change)
	}
	res, text := h.Post("/Arith/Mul", body)
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the one token is refused: %s %s", res.Status, text)
	}
	for tries := 0; res.StatusCode == http.StatusOK && tries < 100; tries++ { // a new token arrives every second
		res, text = h.Post("/Arith/Mul", body)
	}
	var problem struct{ Code, Reason, Rule string }
	if err := json.Unmarshal([]byte(text), &problem); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") != "1" ||
		res.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%s %v", res.Status, res.Header)
	}
	if problem.Code != "RESOURCE_EXHAUSTED" || problem.Reason != "rate_limited" || problem.Rule != "arith-mul@r2" {
		t.Errorf("%+v", problem)
	}
}

func TestATypoChangesNothingAndIsExplained(t *testing.T) {
	h := start(t)
	h.Edit("policies.yaml", "rate: 500", "raet: 1")
	r := h.Revision()
	if r.Result != host.ResultRejected || r.Number != 1 {
		t.Errorf("r%d %s, want r1 to stay", r.Number, r.Result)
	}
	const want = "policies.yaml:6:17: rules[0].rateLimit.raet: unknown key (did you mean rate?)"
	if len(r.Problems) == 0 || r.Problems[0].String() != want {
		t.Errorf("%v, want %s", r.Problems, want)
	}
	status, err := h.Admin.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p := status.Policies; p.InSync || p.Running.Revision != 1 || p.LastAttempt.Result != "rejected" || len(p.LastAttempt.Problems) == 0 {
		t.Errorf("status: %+v", p)
	}
	if res, text := h.Post("/Arith/Mul", body); res.StatusCode != http.StatusOK {
		t.Errorf("%s %s", res.Status, text)
	}
}
