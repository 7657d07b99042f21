package host_test

import (
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
)

func TestAnUpstreamThatWasMeantIsSuggested(t *testing.T) {
	far, _ := startTill(t, 0)
	h := startDesk(t, "rules: []\n", far)
	for _, name := range []string{"tlil", "Till"} {
		_, err := h.Admin.Explain(t.Context(), admin.ExplainQuery{Service: name, Method: "Mul"})
		if err == nil || !strings.Contains(err.Error(), "upstreams: till; did you mean till? it is an upstream") {
			t.Error(name, err)
		}
	}
}

// A call that a gateway passes on meets the rules of what comes in, and then those of what goes out.
func TestAGatewayExplainsClientSideRulesAfterInboundOnes(t *testing.T) {
	t.Parallel()
	y := newYard()
	far(t, y, newPlant(t), "")
	gw := standalone(t, y, toAll+"policies: {rules: [{name: in, match: {service: Arith}, timeout: 2s}, "+
		"{name: out, match: {upstream: Arith}, timeout: 1s, circuitBreaker: {consecutiveFailures: 1}}]}\n", hosttest.Options{})
	x, err := gw.Admin.Explain(t.Context(), admin.ExplainQuery{Service: "Arith", Method: "Mul"})
	must(t, err)
	var got []string
	for _, k := range x.Kinds {
		for _, r := range k.Applies {
			got = append(got, string(k.Kind)+" "+r.Rule)
		}
	}
	if text := strings.Join(got, ", "); text != "timeout in, timeout out, circuitBreaker out" {
		t.Error(text)
	}
}
