package host_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
)

// inNamespace runs the test once more, in a namespace where it may mount, and reports whether this is there.
func inNamespace(t *testing.T) bool {
	t.Helper()
	const inside = "TEST_INSIDE_NAMESPACE"
	if os.Getenv(inside) == t.Name() {
		return true
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		t.Skipf("this system makes no namespaces: %v", err)
	case err != nil:
		t.Errorf("inside: %v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	case !strings.Contains(string(out), "--- PASS: "+t.Name()):
		t.Errorf("it did not run inside:\n%s", out)
	}
	return false
}

func bindMount(t *testing.T, source, target string) {
	t.Helper()
	if err := syscall.Mount(source, target, "", syscall.MS_BIND, ""); err != nil {
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
			t.Skipf("nothing may be mounted: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(target, syscall.MNT_DETACH) })
}

func TestAFileThatIsAMountOfItsOwnIsWarnedOf(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	dir, sources := t.TempDir(), t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{
		"easymicro.yaml": "admin: {tokenFile: admin.token}\nservices: [{name: Arith, handler: test.arith}]\n" +
			"upstreams: [{name: till, service: Till, resolve: {file: nodes.yaml}}]\n" +
			"policies: {files: ['p d/*.yaml'], watch: {debounce: 20ms, poll: 100ms}}\n",
		"admin.token": "secret", "nodes.yaml": "endpoints: []\n", "real.yaml": "rules: []\n",
		"p d/a b.yaml": rulesText("10"), "p d/plain.yaml": "rules: []\n",
	} {
		must(t, os.MkdirAll(filepath.Dir(at(name)), 0o700))
		writeFile(t, at(name), text)
		writeFile(t, filepath.Join(sources, filepath.Base(name)), text)
	}
	must(t, os.Symlink("../real.yaml", at("p d/link.yaml")))
	mounted := []string{"admin.token", "easymicro.yaml", "nodes.yaml", "p d/a b.yaml", "real.yaml"}
	for _, name := range mounted {
		bindMount(t, filepath.Join(sources, filepath.Base(name)), at(name))
	}
	mounted[4] = "p d/link.yaml" // which leads to it

	var log logBuffer
	h := hosttest.StartFile(t, at("easymicro.yaml"), hosttest.Options{Registry: newPlant(t).reg, Log: &log})
	client := &admin.Client{Address: h.AdminAddr().String(), Token: "secret"}
	status := func() (*admin.Status, map[string]string) {
		s, err := client.Status(t.Context())
		must(t, err)
		why := map[string]string{}
		for _, p := range s.Watch.Mounted {
			why[p.File] = p.Message
		}
		return s, why
	}
	const alone, gone = "is mounted by itself", "source was replaced or removed"
	s, why := status()
	for _, name := range mounted {
		if !strings.Contains(why[name], alone) || !logged(log.String(), name, alone) {
			t.Errorf("%s: %q in status; the log has\n%s", name, why[name], log.String())
		}
		shown := false
		for _, w := range s.Warnings {
			shown = shown || w.File == name && w.Message == why[name]
		}
		if !shown {
			t.Errorf("%s is not among the warnings of the revision: %v", name, s.Warnings)
		}
	}
	if len(why) != len(mounted) {
		t.Errorf("%v, want %v", why, mounted)
	}

	source := filepath.Join(sources, "a b.yaml")
	writeFile(t, source+".new", rulesText("20"))
	must(t, os.Rename(source+".new", source))
	eventually(t, "the log tells that edits are not seen", func() bool {
		return logged(log.String(), "p d/a b.yaml", gone)
	})
	if s, why := status(); !strings.Contains(why["p d/a b.yaml"], gone) || !strings.Contains(why["nodes.yaml"], alone) {
		t.Errorf("%+v", s.Watch.Mounted)
	}

	must(t, syscall.Unmount(at("p d/a b.yaml"), syscall.MNT_DETACH))
	h.Write("p d/a b.yaml", rulesText("30"))
	eventually(t, "it is followed again", func() bool {
		_, why := status()
		return why["p d/a b.yaml"] == ""
	})
}

func TestAFileInAnOrdinaryFolderIsNoMount(t *testing.T) {
	h := hosttest.Start(t, "services: [{name: Arith, handler: test.arith}]\n", hosttest.Options{Registry: newPlant(t).reg})
	if s, err := h.Admin.Status(t.Context()); err != nil || len(s.Watch.Mounted) != 0 || len(s.Warnings) != 0 {
		t.Errorf("%v %+v", err, s)
	}
}

// logged reports whether a line of the log is a warning about the file.
func logged(log, file, message string) bool {
	if strings.Contains(file, " ") {
		file = `"` + file + `"`
	}
	for line := range strings.Lines(log) {
		if strings.Contains(line, "level=WARN") && strings.Contains(line, message) && strings.HasSuffix(line, " file="+file+"\n") {
			return true
		}
	}
	return false
}

func rulesText(rate string) string {
	return "rules: [{name: few, match: {service: Arith}, rateLimit: {rate: " + rate + "}}]\n"
}
