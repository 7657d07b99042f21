package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
)

func TestThePathOfJSONRPCLeadsToNothingElse(t *testing.T) {
	for path, want := range map[string]string{
		"/rpc": "", "/": "", "/api/rpc": "", "/Other/rpc": "",
		"rpc":        `gateway.jsonrpc.path: must be a plain path such as /rpc, not "rpc"`,
		"/rpc/":      "must be a plain path",
		"/a/../rpc":  "must be a plain path",
		"/{rpc}":     "must be a plain path",
		"/rpc?x":     "must be a plain path",
		"/arith/Mul": "gateway.jsonrpc.path: /arith/Mul is the path of a method of service arith",
		"/v1/mul":    "gateway.jsonrpc.path: /v1/mul is the path of gateway.routes[0] already",
	} {
		text := fmt.Sprintf("services: [{name: Arith, handler: samples.arith}]\n"+
			"gateway: {jsonrpc: {path: %q}, routes: [{path: /v1/mul, service: Arith, method: Mul}]}\n", path)
		m, problems := config.DecodeManifest("m.yaml", []byte(text), nil)
		problems = append(problems, (&config.Set{Manifest: m}).Validate()...)
		if got := problems.Error(); want == "" && len(problems) > 0 || !strings.Contains(got, want) || want != "" && !strings.Contains(got, "m.yaml:2:") {
			t.Errorf("%s: %v, want %q", path, got, want)
		}
	}
}
