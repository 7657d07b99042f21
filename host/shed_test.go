package host_test

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/host/machine"
)

// A busy host refuses calls, with the reason in numbers, but no request of operators. It measures only while a rule needs it.
func TestABusyHostShedsCallsButAnswersOperators(t *testing.T) {
	if !machine.HasCPU() {
		t.Skip("the CPU utilization cannot be measured here")
	}
	const busy = "rules: [{name: busy, match: {service: '*'}, shed: {cpuAbove: 85%}, concurrency: {max: 1000}}]\n"
	h := hosttest.Start(t, `
services: [{name: Arith, handler: test.arith}]
policies: {files: [policies.d/*.yaml], autoRollback: off}
`, hosttest.Options{Registry: deskPlant(t).reg, Files: map[string]string{"policies.d/10.yaml": busy}})
	host.AssumeCPU(h.Host, machine.Utilization{Share: 1, Cores: 2, Over: time.Second})
	refused := 0
	for range 200 {
		res, body := h.Post("/Arith/Mul", `{"A":6,"B":7}`)
		if res.StatusCode == http.StatusOK {
			continue
		}
		refused++
		if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" ||
			!strings.Contains(body, "CPU 100 % of 2 cores over the last 1s, above 85 %: 95 % of the calls of normal priority are refused") {
			t.Fatal(res.StatusCode, res.Header, body)
		}
	}
	if refused < 185 || refused > 195 {
		t.Errorf("%d of 200 calls are refused, want 190", refused)
	}
	list, err := h.Admin.Refusals(t.Context(), admin.RefusalQuery{})
	if err != nil || len(list) == 0 || list[0].Kind != "shed" || list[0].Position == "" {
		t.Errorf("refusals: %+v %v", list, err)
	}
	h.Write("policies.d/10.yaml", "rules: []\n")
	h.Revision()
	if u := host.CPUOf(h.Host); u != (machine.Utilization{}) {
		t.Errorf("still measured: %+v", u)
	}
	h.Write("policies.d/10.yaml", busy)
	h.Revision()
	for deadline := time.Now().Add(20 * time.Second); host.CPUOf(h.Host).Cores == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("not measured")
		}
	}
}
