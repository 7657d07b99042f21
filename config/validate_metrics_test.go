package config_test

import (
	"strings"
	"testing"
)

func TestTheMetricsPathMayNotBeReserved(t *testing.T) {
	for path, want := range map[string]string{
		"/metrics": "", "/prometheus/metrics/": "", "/livezz": "", "/apis": "", "/x/api": "",
		"/livez": "is reserved", "/readyz/": "is reserved", "/healthz": "is reserved", "/api/v1/status": "is reserved", "/api": "is reserved",
		"/debug/pprof": "is reserved", "/": "is reserved", "//": "is reserved", "/x/../livez": "is reserved",
		"/%6civez": "must be a plain path", "/a?b": "must be a plain path", "/a//b": "cannot be requested (did you mean /a/b?)",
	} {
		_, problems := decodeSet("manifest-m.yaml", []byte("services: [{name: Arith, handler: samples.arith}]\ntelemetry: {metrics: {path: \""+path+"\"}}\n"))
		switch {
		case want == "" && len(problems) > 0:
			t.Errorf("%s: %v", path, problems)
		case want != "" && (len(problems) != 1 || !strings.Contains(problems[0].String(), want) || problems[0].Line != 2):
			t.Errorf("%s: %v, want %q", path, problems, want)
		}
	}
}
