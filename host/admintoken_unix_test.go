//go:build unix

package host_test

import (
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	configload "github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
)

// spoil puts what is no token into the place of a file, by rename as editors do.
func spoil(t *testing.T, dir, name, how string) {
	t.Helper()
	path := filepath.Join(dir, name)
	made := path + ".tmp~"
	switch how {
	case "gone":
		must(t, os.Remove(path))
		return
	case "empty":
		writeFile(t, made, " \n")
	case "pipe":
		must(t, syscall.Mkfifo(made, 0o600))
	case "device":
		must(t, os.Symlink("/dev/zero", made))
	case "huge":
		writeFile(t, made, "")
		must(t, os.Truncate(made, 2<<30))
	}
	must(t, os.Rename(made, path))
}

var spoiltTokens = map[string]string{
	"gone":   "admin.token cannot be read: no such file or directory",
	"empty":  "admin.token is empty",
	"pipe":   "admin.token is a pipe, not a file",
	"device": "admin.token is a device, not a file",
	"huge":   "admin.token has 2147483648 bytes: the limit is 64 KiB",
}

// It counts what the process allocates, and so runs beside no other test.
func TestTheOperatorsTokenIsReadWithTheSetAndNotByRequests(t *testing.T) {
	for how, want := range spoiltTokens {
		t.Run(how, func(t *testing.T) {
			h := hosttest.Start(t, "admin: {tokenFile: admin.token}\nservices: [{name: Arith, handler: test.arith}]\npolicies: {watch: {debounce: 20ms}}\n",
				hosttest.Options{Registry: newPlant(t).reg, Files: map[string]string{"admin.token": "first\n"}})
			spoil(t, h.Dir, "admin.token", how)
			if r := h.Revision(); r.Result != host.ResultRejected || len(r.Problems) != 1 || r.Problems[0].Path != "admin.tokenFile" || r.Problems[0].Message != want {
				t.Errorf("%s %v %s, want %s", r.Result, r.Problems, r.Error, want)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range 20 {
				res, err := http.Get(h.AdminURL() + "/api/v1/status")
				must(t, err)
				_ = res.Body.Close()
				if res.StatusCode != http.StatusUnauthorized {
					t.Fatalf("without a token: %s", res.Status)
				}
			}
			runtime.ReadMemStats(&after)
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 64<<20 {
				t.Errorf("20 requests without a token allocated %d MiB", allocated>>20)
			}
			client := &admin.Client{Address: h.AdminAddr().String(), Token: "first"}
			if status, err := client.Status(t.Context()); err != nil || status.Policies.InSync {
				t.Errorf("with the token of the running set: %v %v", status, err)
			}
			h.Write("admin.token", "second\n")
			if r := h.Revision(); r.Result != host.ResultApplied {
				t.Errorf("a good token afterwards: %s %v", r.Result, r.Problems)
			}
			client.Token = "second"
			if _, err := client.Status(t.Context()); err != nil {
				t.Error(err)
			}
			h.Stop()
		})
	}
}

func TestAHostDoesNotStartWithoutTheOperatorsToken(t *testing.T) {
	for how, want := range spoiltTokens {
		dir := t.TempDir()
		path := filepath.Join(dir, "easymicro.yaml")
		writeFile(t, path, "admin: {tokenFile: admin.token}\nservices: [{name: Arith, handler: test.arith}]\n")
		writeFile(t, filepath.Join(dir, "admin.token"), "first")
		spoil(t, dir, "admin.token", how)
		set, _, err := host.LoadFiles(path, configload.Options{})
		if err == nil {
			if problems := host.Check(set, newPlant(t).reg); problems.Err() == nil || problems.Error() != "easymicro.yaml:1:20: admin.tokenFile: "+want {
				t.Errorf("%s: validate says %v", how, problems)
			}
			_, err = host.Open(t.Context(), set, host.Options{Registry: newPlant(t).reg})
		}
		if err == nil || !strings.HasSuffix(err.Error(), "admin.tokenFile: "+want) {
			t.Errorf("%s: %v, want %s", how, err, want)
		}
	}
}
