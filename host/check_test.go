package host_test

import (
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
)

func TestCheckFindsWhatTheGatewayWouldRefuse(t *testing.T) {
	m, problems := config.DecodeManifest("easymicro.yaml", []byte(`
services: [{name: Mirror, handler: test.mirror}]
gateway:
  routes:
    - {path: /v1/mirror, methods: [GET], service: Mirror, method: Refused}
`), func(string) (string, bool) { return "", false })
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	found := host.Check(&config.Set{Manifest: m}, mirrors()).Errors()
	if len(found) != 1 || found[0].Line != 5 || !strings.Contains(found[0].Message, "gateway.get") {
		t.Errorf("a GET route without gateway.get: %v", found)
	}
}

func TestCheckTellsThatARuleGoesByTheMainNameOfAService(t *testing.T) {
	m, problems := config.DecodeManifest("easymicro.yaml", []byte(`
services: [{name: Mirror, aliases: [Glass], handler: test.mirror}]
policies: {rules: [{name: quick, match: {service: Glass}, timeout: 1s}]}
`), func(string) (string, bool) { return "", false })
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	found := host.Check(&config.Set{Manifest: m, Rules: m.Policies.Rules}, mirrors())
	if len(found) != 1 || !found[0].Warning || !strings.Contains(found[0].String(), "Mirror") || !strings.Contains(found[0].String(), "alias") {
		t.Errorf("%v", found)
	}
}
