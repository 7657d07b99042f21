//go:build unix

package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
)

func TestAPipeInPlaceOfEndpointsIsLoggedAndBlocksNothing(t *testing.T) {
	far, _ := startTill(t, 0)
	dir := t.TempDir()
	nodes := filepath.Join(dir, "nodes.yaml")
	good := fmt.Sprintf("endpoints: [%q]\n", far.Address)
	writeFile(t, filepath.Join(dir, "easymicro.yaml"), `services: [{name: Desk, handler: test.desk, uses: {till: till}}]
upstreams: [{name: till, service: Till, resolve: {file: nodes.yaml}}]
policies: {watch: {debounce: 20ms}}
`)
	var log logBuffer
	h := hosttest.StartFile(t, filepath.Join(dir, "easymicro.yaml"), hosttest.Options{Registry: deskPlant(t).reg, Log: &log})
	told := func() bool {
		s, err := h.Admin.Status(t.Context())
		return err == nil && strings.Contains(s.Upstreams[0].Error, "nodes.yaml: is a pipe, not a file")
	}
	calls := func() bool {
		_, err := mul(t, h, 2, 3)
		return err == nil
	}
	must(t, syscall.Mkfifo(nodes, 0o600))
	if calls() {
		t.Error("a call without endpoints succeeds")
	}
	eventually(t, "the status says why", told)
	if text := log.String(); !strings.Contains(text, "nodes.yaml: is a pipe, not a file") {
		t.Errorf("the log does not say why: %s", text)
	}
	h.Write("nodes.yaml", good)
	eventually(t, "a good file is read", calls)
	must(t, os.Remove(nodes))
	must(t, syscall.Mkfifo(nodes, 0o600))
	eventually(t, "the pipe is told", told)
	if !calls() {
		t.Error("the last list is not in use")
	}
	h.Stop() // which fails when the host does not end
}
