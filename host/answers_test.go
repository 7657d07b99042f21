package host_test

import (
	"context"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
)

type mirror struct{}

type mirrored struct {
	N int `json:"n"`
}

// Refused passes on what a peer of the handler said about itself.
func (mirror) Refused(context.Context, *mirrored, *mirrored) error {
	return code.Remote(code.Refuse(code.Unavailable, code.ReasonBreakerOpen, "circuit breaker open", "far@r7", "elsewhere", 0))
}

func mirrors() *registry.Registry {
	reg := registry.New()
	registry.Plain(mirror{}, registry.In(reg), registry.As("test.mirror"))
	return reg
}

func TestAPeersOwnRefusalIsNoFailureOfTheHandlerThatMetIt(t *testing.T) {
	h := hosttest.Start(t, `
services: [{name: Mirror, handler: test.mirror}]
policies:
  rules:
    - {name: guard, match: {service: Mirror}, circuitBreaker: {consecutiveFailures: 1}}
`, hosttest.Options{Registry: mirrors()})
	for range 3 {
		res, body := h.Post("/Mirror/Refused", "{}")
		if res.StatusCode != 503 || strings.Contains(body, `"rule"`) || strings.Contains(body, "guard@") {
			t.Errorf("%s %s", res.Status, body)
		}
	}
}

func TestABadPayloadIsSaidOnceWithItsHost(t *testing.T) {
	h := hosttest.Start(t, `
host: {name: orders-7}
services: [{name: Mirror, handler: test.mirror}]
`, hosttest.Options{Registry: mirrors()})
	_, body := h.Post("/Mirror/Refused", "{")
	if !strings.Contains(body, `"detail":"json payload: unexpected end at byte 1","code":"INVALID_ARGUMENT"`) || !strings.Contains(body, `"host":"orders-7"`) {
		t.Error(body)
	}
	err := hosttest.CallJSON(t.Context(), h.Dial(), "Mirror", "Refused", []int{1}, nil)
	if want := `INVALID_ARGUMENT: json payload: expected an object, got an array at byte 0 on orders-7`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
