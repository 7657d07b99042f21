package host_test

import (
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
)

var update = flag.Bool("update", false, "write the answers of the admin API to testdata/admin")

// volatile is what differs from run to run, and what is written in its place.
var volatile = []struct {
	of *regexp.Regexp
	as string
}{
	{regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^"]*"`), `"TIME"`},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`"([a-z0-9_]*seconds?)": [0-9.e-]+`), `"$1": 1`},
	{regexp.MustCompile(`"(calls_per_second)": [0-9.e-]+`), `"$1": 1`},
	{regexp.MustCompile(`"tokens": [0-9.e-]+`), `"tokens": 1`},
	{regexp.MustCompile(`[0-9.]+ of 1000 tokens`), `N of 1000 tokens`},
	{regexp.MustCompile(`"key": "[^"]*"`), `"key": "KEY"`},
	{regexp.MustCompile(`"hash": "[^"]*"`), `"hash": "HASH"`},
	{regexp.MustCompile(`"max_(in_flight|buffered_bytes)": \d+`), `"max_$1": 1`},
	{regexp.MustCompile(`/[^" ]*/TestTheAnswers[^"]*`), `DIR`},
}

func TestTheAnswersOfTheAdminAPIKeepTheirShape(t *testing.T) {
	t.Parallel()
	reg := mirrors()
	registry.Register("test.desk", struct{}{}, func(context.Context, struct{}, registry.Env) (*registry.Service, error) {
		return registry.Receiver(mirror{}), nil
	}, registry.In(reg), registry.Uses("till"), registry.Methods[mirror]())
	h := hosttest.Start(t, `
host: {name: golden}
services: [{name: Mirror, aliases: [M], handler: test.mirror}, {name: Desk, handler: test.desk, uses: {till: other}}]
upstreams: [{name: other, service: Other, idempotent: [X], resolve: {endpoints: ["127.0.0.1:1", "127.0.0.1:2"]}}]
gateway: {routes: [{path: "/say/{n}", methods: [POST], service: Mirror, method: Refused}]}
policies: {files: [policies.yaml]}
`[1:], hosttest.Options{Registry: reg, Files: map[string]string{"policies.yaml": `rules:
  - {name: quota, description: all of it, match: {service: Mirror}, rateLimit: {rate: 500}, timeout: 5s}
  - {name: tenant, match: {service: Mirror}, mode: shadow, rateLimit: {rate: 10, key: caller}}
  - {name: hall, match: {service: Mirror}, concurrency: {max: 7}, circuitBreaker: {failureRate: 0.5}}
  - {name: wide, match: {service: "*"}, concurrency: {max: 70}}
  - {name: closed, match: {service: Mirror, method: Ref*}, access: {deny: [{caller: [anonymous]}]}}
  - {name: out, match: {upstream: other}, retry: {maxAttempts: 2}, outlierDetection: {}}
`}})
	h.Edit("policies.yaml", "rate: 500", "rate: 1000")
	if r := h.Revision(); r.Result != "applied" {
		t.Fatalf("%+v", r)
	}
	h.Edit("policies.yaml", "rate: 1000", "rate: -1")
	if r := h.Revision(); r.Result != "rejected" {
		t.Fatalf("%+v", r)
	}
	get := func(method, path string) string {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+h.AdminAddr().String()+path, http.NoBody)
		must(t, err)
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		must(t, err)
		return string(body)
	}
	h.Post("/Mirror/Refused", "{}")
	for _, c := range [][2]string{
		{"status", "/api/v1/status"},
		{"services", "/api/v1/services"},
		{"rules", "/api/v1/rules"},
		{"refusals", "/api/v1/refusals"},
		{"top", "/api/v1/top?by=caller,method,peer"},
		{"revisions", "/api/v1/revisions"},
		{"revision", "/api/v1/revisions/2"},
		{"readyz", "/readyz?verbose"},
		{"explain", "/api/v1/explain?service=Mirror&method=Refused&caller=me&peer=10.1.2.3"},
		{"explain_upstream", "/api/v1/explain?upstream=other&method=X"},
		{"explain_rule", "/api/v1/explain?rule=quota&revision=1"},
		{"not_found", "/api/v1/explain?service=Miror&method=Refused"},
		{"reload", "POST /api/v1/reload"},
	} {
		name, path := c[0], c[1]
		method := http.MethodGet
		if m, rest, ok := strings.Cut(path, " "); ok {
			method, path = m, rest
		}
		got := get(method, path)
		for _, v := range volatile {
			got = v.of.ReplaceAllString(got, v.as)
		}
		file := filepath.Join("testdata", "admin", name+".json")
		if *update {
			must(t, os.MkdirAll(filepath.Dir(file), 0o755))
			must(t, os.WriteFile(file, []byte(got), 0o600))
			continue
		}
		want, err := os.ReadFile(file)
		must(t, err)
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}
