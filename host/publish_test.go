package host_test

import (
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
)

func TestWhatWasNeverRegisteredIsNotSaidToBeWithdrawn(t *testing.T) {
	var log logBuffer
	h := hosttest.Start(t, `
host: {shutdown: {drainDelay: 0s}}
services: [{name: Arith, handler: test.arith}]
discovery: {etcd: [{name: main, endpoints: ['http://127.0.0.1:1'], register: {advertise: "10.0.0.7:8972"}}]}
`, hosttest.Options{Registry: newPlant(t).reg, Log: &log})
	eventually(t, "it says that it is not registered", func() bool { return strings.Contains(log.String(), "not registered yet") })
	h.Stop()
	if text := log.String(); strings.Contains(text, "withdrawn") || !strings.Contains(text, "stopped") {
		t.Error(text)
	}
}
