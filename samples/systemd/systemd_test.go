package systemd_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host/hosttest"
	_ "github.com/easymicro/easymicro/samples" // samples.arith
)

const (
	service = "easymicro.service"
	socket  = "easymicro.socket"
)

// settings returns the settings of a unit, with the last value of each.
func settings(t *testing.T, unit string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			found[name] = value
		}
	}
	return found
}

func manifest(t *testing.T) *config.Manifest {
	t.Helper()
	set, err := load.Load("easymicro.yaml", load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set.Manifest
}

func TestTheManifestServesAndKeepsItsState(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	t.Setenv("STATE_DIRECTORY", state)
	h := hosttest.StartCopy(t, ".", hosttest.Options{}, `"systemd:main"`, "127.0.0.1:0")
	if res, body := h.Post("/Arith/Mul", `{"a":6,"b":7}`); res.StatusCode != http.StatusOK || body != `{"c":42}` {
		t.Errorf("%s %s", res.Status, body)
	}
	if files, err := os.ReadDir(state); err != nil || len(files) == 0 {
		t.Errorf("nothing is kept in STATE_DIRECTORY: %v", err)
	}
}

func TestTheSocketOfTheUnitIsTheListenersAddress(t *testing.T) {
	_, name, err := manifest(t).Listeners[0].Address.Listen()
	if want := settings(t, socket)["FileDescriptorName"]; err != nil || name != want {
		t.Errorf("the manifest wants socket %q, the unit passes %q: %v", name, want, err)
	}
}

func TestTheUnitWaitsForTheGracePeriod(t *testing.T) {
	stop, err := time.ParseDuration(settings(t, service)["TimeoutStopSec"])
	if err != nil {
		t.Fatal(err)
	}
	if grace := time.Duration(manifest(t).Host.Shutdown.GracePeriod); stop < grace+5*time.Second {
		t.Errorf("systemd kills the host after %s, it takes up to %s", stop, grace)
	}
}

// The units are those that systemd knows, with a program that exists. Versions before 253 do not have notify-reload.
func TestSystemdKnowsEverySetting(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, unit := range []string{service, socket} {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		text = []byte(strings.ReplaceAll(string(text), "/usr/bin/easymicro", self))
		if err := os.WriteFile(filepath.Join(dir, unit), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", filepath.Join(dir, service), filepath.Join(dir, socket))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, dir) && !strings.Contains(line, "ignoring: notify-reload") {
			t.Error(line)
		}
	}
}
