package host_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
)

// A change of discovery that makes all calls fail is logged once, and so is its end.
func TestAnUpstreamWithoutEndpointsIsLoggedOnce(t *testing.T) {
	t.Parallel()
	far, _ := startTill(t, 0)
	nodes := fmt.Sprintf("endpoints: [{address: %q, metadata: {group: blue}}]\n", far.Address)
	const none, again = "upstream has no endpoints", "upstream has endpoints again"
	for _, tc := range []struct {
		name, from, to string // an edit of the manifest
		nodes          string // or a new list
		want           string
	}{
		{"a file that is not there", "{file: nodes.yaml}", "{file: nodez.yaml}", "", "nodez.yaml: cannot be read: no such file"},
		{"a group that nobody is in", "group: blue", "group: green", "", "no endpoint is in group green (1 found)"},
		{"an empty list", "", "", "endpoints: []\n", "nothing serves it, according to file nodes.yaml"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var log logBuffer
			h := hosttest.Start(t, `services: [{name: Desk, handler: test.desk, uses: {till: till}}]
upstreams: [{name: till, service: Till, group: blue, resolve: {file: nodes.yaml}}]
`, hosttest.Options{Registry: deskPlant(t).reg, Log: &log, Files: map[string]string{"nodes.yaml": nodes}})
			_, err := mul(t, h, 1, 1)
			must(t, err)
			edit := func(from, to, list string) {
				if list != "" {
					h.Write("nodes.yaml", list)
				} else {
					h.Edit("easymicro.yaml", from, to)
				}
			}
			edit(tc.from, tc.to, tc.nodes)
			eventually(t, "calls fail and the log says why", func() bool {
				_, err := mul(t, h, 1, 1)
				return err != nil && strings.Contains(log.String(), none)
			})
			for range 5 {
				_, _ = mul(t, h, 1, 1)
			}
			if text := log.String(); strings.Count(text, none) != 1 || !strings.Contains(text, "upstream=till service=Till resolve=") ||
				!strings.Contains(text, tc.want) || strings.Contains(text, again) {
				t.Error(text)
			}
			edit(tc.to, tc.from, map[bool]string{true: nodes}[tc.nodes != ""])
			eventually(t, "calls succeed and the log says so", func() bool {
				_, err := mul(t, h, 1, 1)
				return err == nil && strings.Contains(log.String(), again)
			})
			if text := log.String(); strings.Count(text, none) != 1 || strings.Count(text, again) != 1 {
				t.Error(text)
			}
		})
	}
}

func TestABrokenListThatStaysInUseIsLogged(t *testing.T) {
	t.Parallel()
	far, _ := startTill(t, 0)
	nodes := fmt.Sprintf("endpoints: [%q]\n", far.Address)
	var log logBuffer
	h := hosttest.Start(t, `services: [{name: Desk, handler: test.desk, uses: {till: till}}]
upstreams: [{name: till, service: Till, connection: {connectTimeout: 20s}, resolve: {file: nodes.yaml}}]
`, hosttest.Options{Registry: deskPlant(t).reg, Log: &log, Files: map[string]string{"nodes.yaml": nodes}})
	_, err := mul(t, h, 1, 1)
	must(t, err)
	h.Write("nodes.yaml", "endpoints: [\n")
	eventually(t, "the log tells of it", func() bool {
		return strings.Contains(log.String(), "using last known endpoints") && strings.Contains(log.String(), "nodes.yaml:")
	})
	_, err = mul(t, h, 1, 1)
	must(t, err)
	h.Write("nodes.yaml", nodes)
	eventually(t, "the log tells of its end", func() bool { return strings.Contains(log.String(), "endpoint lookup works again") })
}

// A gateway logs when a service of other hosts has lost its last endpoint.
func TestAGatewayLogsThatAServiceIsGone(t *testing.T) {
	t.Parallel()
	y := newYard()
	up, _ := far(t, y, newPlant(t), "")
	var log logBuffer
	gw := standalone(t, y, toAll, hosttest.Options{Log: &log})
	gw.Post("/Arith/Mul", `{}`)
	y.put("Arith")
	eventually(t, "its end is told", func() bool { return strings.Contains(log.String(), "no endpoints; all calls fail\" upstream=Arith") })
	y.put("Arith", up.Address)
	eventually(t, "its return is told", func() bool { return strings.Contains(log.String(), "endpoints again\" upstream=Arith") })
}
