package host_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
)

func TestWhatWasNeverRegisteredIsNotSaidToBeDeregistered(t *testing.T) {
	t.Parallel()
	var log logBuffer
	h := hosttest.Start(t, `
host: {shutdown: {drainDelay: 0s}}
services: [{name: Arith, handler: test.arith}]
discovery: {etcd: [{name: main, endpoints: ['http://127.0.0.1:1'], register: {advertise: "10.0.0.7:8972"}}]}
`, hosttest.Options{Registry: newPlant(t).reg, Log: &log})
	eventually(t, "it says that it is not registered", func() bool { return strings.Contains(log.String(), "not registered yet") })
	h.Stop()
	if text := log.String(); strings.Contains(text, "deregistered") || !strings.Contains(text, "stopped") {
		t.Error(text)
	}
}

// A host that has nothing to publish is not one whose registration has failed.
func TestNothingToPublishIsNoFailure(t *testing.T) {
	const manifest = `
services: [{name: Arith, handler: test.arith, publish: %s}]
discovery: {etcd: [{name: main, endpoints: ['http://127.0.0.1:1'], register: {advertise: "10.0.0.7:8972"}}]}
`
	var log logBuffer
	h := hosttest.Start(t, fmt.Sprintf(manifest, "true"), hosttest.Options{Registry: newPlant(t).reg, Log: &log})
	if text := scrape(t, h); !strings.Contains(text, "easymicro_registration_up 0") {
		t.Error("what cannot be published is taken for published")
	}
	h.Edit("easymicro.yaml", "publish: true", "publish: false")
	eventually(t, "it is told that nothing is published", func() bool {
		return strings.Contains(log.String(), "no services left to publish")
	})
	if text := scrape(t, h); !strings.Contains(text, "easymicro_registration_up 1") {
		t.Error("nothing to publish is taken for a failure")
	}
}
