package host_test

import (
	"context"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
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

func TestCheckReportsThatARuleGoesByTheMainNameOfAService(t *testing.T) {
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

// clerk has a method that is served, and others of almost the same shape.
type clerk struct{}

func (clerk) Mul(context.Context, *args, *reply) error  { return nil }
func (clerk) Add(context.Context, *args, reply) error   { return nil }
func (clerk) Sub(context.Context, *args, *reply)        {}
func (clerk) Div(context.Context, *args) (reply, error) { return reply{}, nil }
func (clerk) Name() string                              { return "clerk" }
func (clerk) Ping(context.Context) error                { return nil }
func (clerk) Reconfigure(context.Context, drawer) error { return nil }

type drawer struct{ Coins int }

func openClerk(context.Context, drawer, registry.Env) (*registry.Service, error) {
	c := clerk{}
	return registry.Receiver(c).OnReady(c.Ping).OnOptions(c.Reconfigure), nil
}

func clerks() *registry.Registry {
	reg := registry.New()
	registry.Register("test.declared", drawer{}, openClerk, registry.In(reg), registry.Methods[clerk]())
	registry.Register("test.open", drawer{}, openClerk, registry.In(reg))
	registry.Register("test.other", drawer{}, openClerk, registry.In(reg))
	return reg
}

// A method that almost has the right shape is warned of before it is called: once, and only for a handler in use.
func TestMethodsOfAlmostTheRightShapeAreWarnedOf(t *testing.T) {
	const shape = "func(ctx context.Context, args *Args, reply *Reply) error"
	for handler, validated := range map[string]int{"test.declared": 3, "test.open": 0} {
		manifest := "services:\n  - {name: Desk, handler: " + handler + "}\n  - {name: Till, handler: " + handler + "}\n"
		m, problems := config.DecodeManifest("easymicro.yaml", []byte(manifest), nil)
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		if found := host.Check(&config.Set{Manifest: m}, clerks()); len(found) != validated || found.Err() != nil {
			t.Errorf("%s: validate finds %v", handler, found)
		}
		h := hosttest.Start(t, manifest, hosttest.Options{Registry: clerks()})
		var said []string
		for _, w := range warningsOf(t, h) {
			said = append(said, w.String())
		}
		want := []string{
			"easymicro.yaml:2:27: services[0].handler: handler " + handler + " does not serve its method Add: third parameter is host_test.reply, want a pointer",
			"easymicro.yaml:2:27: services[0].handler: handler " + handler + " does not serve its method Div: takes 2 parameters, ",
			"easymicro.yaml:2:27: services[0].handler: handler " + handler + " does not serve its method Sub: returns nothing, want error",
		}
		if len(said) != len(want) {
			t.Fatalf("%s: %q", handler, said)
		}
		for i := range want {
			if !strings.HasPrefix(said[i], want[i]) || !strings.Contains(said[i], shape) {
				t.Errorf("%s: %s, want %s", handler, said[i], want[i])
			}
		}
	}
}

func warningsOf(t *testing.T, h *hosttest.Host) config.Problems {
	t.Helper()
	s, err := h.Admin.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Warnings
}

func TestMethodsThatAreNotExposedAreNotWarnedOf(t *testing.T) {
	for _, handler := range []string{"test.declared", "test.open"} {
		h := hosttest.Start(t, "services: [{name: Desk, handler: "+handler+", methods: {expose: [Mul]}}]", hosttest.Options{Registry: clerks()})
		if w := warningsOf(t, h); len(w) > 0 {
			t.Errorf("%s: %v", handler, w)
		}
	}
}

// Where a method is named that is not served, the message has the reason, rather than that there is none.
func TestAMethodThatIsNotServedIsNamedWithTheReason(t *testing.T) {
	m, problems := config.DecodeManifest("easymicro.yaml", []byte(`
services: [{name: Desk, handler: test.declared, methods: {expose: [Mul, Sub]}}]
gateway: {get: [Desk.Add]}
`), nil)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	found := host.Check(&config.Set{Manifest: m}, clerks())
	for i, want := range []string{
		`easymicro.yaml:2:73: services[0].methods.expose[1]: handler test.declared has no method "Sub" that can be served (returns nothing, want error)`,
		`easymicro.yaml:3:17: gateway.get[0]: service Desk has no method "Add" that can be served (third parameter is host_test.reply, want a pointer)`,
	} {
		if len(found) != 2 || found[i].String() != want {
			t.Errorf("%v, want %s", found, want)
		}
	}
}

func TestFindingsOfHandlersStandAmongTheOthers(t *testing.T) {
	reg := registry.New()
	registry.Register("test.clerk", drawer{Coins: 9}, openClerk, registry.In(reg), registry.Methods[clerk](),
		registry.Check("few-coins", func(s registry.Configured, o drawer) []registry.Finding {
			if o.Coins >= 5 {
				return nil
			}
			return []registry.Finding{{Path: "options.coins", Message: "few coins for " + strings.Join(s.Methods, ", ")}, {Message: "of " + s.Service}}
		}))
	m, problems := config.DecodeManifest("easymicro.yaml", []byte(`services:
  - {name: Rich, handler: test.clerk, methods: {expose: [Mul]}}
  - name: Poor
    handler: test.clerk
    methods: {expose: [Mul]}
    options:
      coins: 3
`), nil)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	found := host.Check(&config.Set{Manifest: m}, reg)
	if len(found) != 2 {
		t.Fatal(found)
	}
	for i, want := range []string{
		"easymicro.yaml:3:5: services[1]: of Poor [test.clerk/few-coins]",
		"easymicro.yaml:7:14: services[1].options.coins: few coins for Mul [test.clerk/few-coins]",
	} {
		if found[i].Text() != want || !found[i].Warning {
			t.Errorf("%s, want %s", found[i].Text(), want)
		}
	}
}
