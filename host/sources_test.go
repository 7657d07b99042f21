package host_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
)

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

// sourced is a host with an upstream that is found in some way.
func sourced(t *testing.T, resolve string, files map[string]string) *hosttest.Host {
	t.Helper()
	return hosttest.Start(t, fmt.Sprintf(`
services: [{name: Desk, handler: test.desk, uses: {till: till}}]
upstreams: [{name: till, service: Till, connection: {connectTimeout: 20s}, resolve: %s}]
`, resolve), hosttest.Options{Registry: deskPlant(t).reg, Files: files})
}

func TestAnUpstreamFollowsAFileHoweverItIsSaved(t *testing.T) {
	t.Parallel()
	one, _ := startTill(t, 0)
	two, _ := startTill(t, 1000)
	nodes := func(h *hosttest.Host) string { return fmt.Sprintf("endpoints:\n  - {address: %q}\n", h.Address) }
	h := sourced(t, "{file: nodes.yaml}", map[string]string{"nodes.yaml": nodes(one)})
	answers := func(want int) {
		t.Helper()
		eventually(t, fmt.Sprintf("it answers %d", want), func() bool {
			got, err := mul(t, h, 2, 3)
			if err != nil {
				t.Fatal(err)
			}
			return got == want
		})
	}
	answers(6)
	h.Write("nodes.yaml", nodes(two)) // by rename
	answers(1006)
	path := filepath.Join(h.Dir, "nodes.yaml")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0o600)
	must(t, err)
	_, err = f.WriteString(nodes(one))
	must(t, err)
	must(t, f.Close())
	answers(6)
	writeFile(t, path, "endpoints:\n  - {where: 1}\n") // a bad one changes nothing, and says so
	eventually(t, "status tells of the bad file", func() bool {
		s, err := h.Admin.Status(t.Context())
		return err == nil && strings.Contains(s.Upstreams[0].Error, "nodes.yaml:2") && len(s.Upstreams[0].Endpoints) == 1
	})
	answers(6)
	if s, err := h.Admin.Status(t.Context()); err != nil || s.Policies.Running.Revision != 1 {
		t.Errorf("endpoints are not the set's: r%d, %v", s.Policies.Running.Revision, err)
	}
}

func TestAnUpstreamIsFoundByDNS(t *testing.T) {
	far, _ := startTill(t, 0)
	_, port, err := net.SplitHostPort(far.Address)
	must(t, err)
	h := sourced(t, fmt.Sprintf("{dns: %q}", "localhost:"+port), nil)
	eventually(t, "it answers", func() bool { // ::1 may be tried, too
		got, err := mul(t, h, 2, 3)
		return err == nil && got == 6
	})
	s, err := h.Admin.Status(t.Context())
	must(t, err)
	if u := s.Upstreams[0]; u.Resolve != "dns localhost:"+port || len(u.Endpoints) == 0 {
		t.Errorf("%+v", u)
	}
}
