package load_test

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config/load"
)

func TestAnUnreadableFolderIsAProblem(t *testing.T) {
	path := files(t, map[string]string{
		"easymicro.yaml": smallest + "policies: {files: [\"base/*.yaml\", \"cur/*.yaml\", \"far/in/*.yaml\"], allowEmpty: true}\n",
		"base/a.yaml":    rule("base"), "cur/lock.yaml": rule("lock"), "far/in/lock.yaml": rule("far"),
	})
	asNobody(t, path, func() {
		for _, folder := range []string{"cur", "far"} {
			dir := filepath.Join(filepath.Dir(path), folder)
			if err := os.Chmod(dir, 0o000); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
		}
	}, func() {
		want := []string{
			"easymicro.yaml:2:35: policies.files[1]: cur cannot be read: permission denied",
			"easymicro.yaml:2:49: policies.files[2]: far/in cannot be read: permission denied",
		}
		for _, reload := range []bool{false, true} {
			if diff := cmp.Diff(want, problems(t, path, load.Options{Reload: reload})); diff != "" {
				t.Error(diff)
			}
		}
	})
}

const nobody = 65534

// asNobody runs before, and then do as a user to whom permissions apply. Root becomes one on this thread alone.
func asNobody(t *testing.T, path string, before, do func()) {
	t.Helper()
	before()
	if os.Geteuid() != 0 {
		do()
		return
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode()&0o011 != 0o011 { // the group stays
			if err := os.Chmod(dir, info.Mode()|0o011); err != nil {
				t.Skipf("%s is not open to others: %v", dir, err)
			}
			t.Cleanup(func() { _ = os.Chmod(dir, info.Mode()) })
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	setfsuid(nobody)
	defer setfsuid(0)
	do()
}

func setfsuid(uid int) {
	_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, uintptr(uid), 0, 0)
}
