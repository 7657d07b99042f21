package host_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
)

const warmUpstream = `
services: [{name: Desk, handler: test.desk, uses: {till: till}}]
upstreams:
  - name: till
    service: Till
    resolve: {endpoints: [%q]}
    tls: {caFile: ca.pem, certFile: host.pem, keyFile: host.key, serverName: billing.internal}
    connection: {poolSize: 1}
`

// No call waits for a handshake, and none fails, while the connections of an upstream are made anew, however long that takes.
func TestCallsDoNotWaitForTheNewConnectionsOfAnUpstream(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		edit func(t *testing.T, h *hosttest.Host, ca *hosttest.Authority, front, other *tlsFront)
		as   string
	}{
		{"another certificate", func(t *testing.T, h *hosttest.Host, ca *hosttest.Authority, _, _ *tlsFront) {
			cert, key := ca.Issue(t, "host-2")
			h.Write("host.pem", cert)
			h.Revision()
			h.Write("host.key", key)
		}, "host-2"},
		{"another authority beside the first", func(t *testing.T, h *hosttest.Host, ca *hosttest.Authority, _, _ *tlsFront) {
			h.Write("ca.pem", ca.PEM+hosttest.NewAuthority(t).PEM)
		}, "host-1"},
		{"more connections", func(_ *testing.T, h *hosttest.Host, _ *hosttest.Authority, _, _ *tlsFront) {
			h.Edit("easymicro.yaml", "poolSize: 1", "poolSize: 2")
		}, "host-1"},
		{"another codec", func(_ *testing.T, h *hosttest.Host, _ *hosttest.Authority, _, _ *tlsFront) {
			h.Edit("easymicro.yaml", "service: Till", "service: Till\n    codec: json")
		}, "host-1"},
		{"another endpoint", func(_ *testing.T, h *hosttest.Host, _ *hosttest.Authority, front, other *tlsFront) {
			h.Edit("easymicro.yaml", front.address, other.address)
		}, "host-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			far, _ := startTill(t, 0)
			ca := hosttest.NewAuthority(t)
			front, other := startTLSFront(t, ca, "billing.internal", far.Address), startTLSFront(t, ca, "billing.internal", far.Address)
			cert, key := ca.Issue(t, "host-1")
			h := hosttest.Start(t, fmt.Sprintf(warmUpstream, front.address), hosttest.Options{Registry: deskPlant(t).reg, Files: map[string]string{
				"ca.pem": ca.PEM, "host.pem": cert, "host.key": key,
			}})
			_, err := mul(t, h, 6, 7)
			must(t, err)
			var s running
			end := s.run(t, h, stream{service: "Desk", method: "Mul", busy: true, n: 4})
			goesOn := func() {
				t.Helper()
				more := s.ok.Load() + 100
				awaitThat(t, "calls", func() bool { return s.ok.Load() > more })
			}
			goesOn()

			releases := []func(){front.hold(t), other.hold(t)}
			tt.edit(t, h, ca, front, other)
			if r := h.Revision(); r.Result != host.ResultApplied {
				t.Fatal(r.Problems)
			}
			awaitThat(t, "a handshake", func() bool { return front.waiting.Load()+other.waiting.Load() > 0 })
			for held := time.Now(); time.Since(held) < 1500*time.Millisecond; { // a call that waits fails after connectTimeout
				goesOn()
			}
			if host.InUse(h.Host) {
				t.Error("calls use a client without connections")
			}
			for _, release := range releases {
				release()
			}
			awaitThat(t, "the new connections are in use", func() bool { return host.InUse(h.Host) })
			goesOn()
			if n := s.failed.Load(); n > 0 { // end cancels the last ones
				t.Errorf("%d of %d calls failed", n, n+s.ok.Load())
			}
			end()
			last := front.last.Load()
			if tt.name == "another endpoint" {
				last = other.last.Load()
			}
			if last != tt.as {
				t.Errorf("connected as %v, want %s", last, tt.as)
			}
		})
	}
}
