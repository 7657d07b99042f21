package etcdtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
)

// The keys of the layouts are listed separately, in any order.
func TestCommandsWaitForAllLayouts(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	s.Put("services/near/127.0.0.1:1", "")
	s.Put("rpcx/Far/tcp@127.0.0.1:1", "")
	at := []string{"--etcd", s.URL(), "--layouts", "easymicro,rpcx"}
	for range 30 {
		if exit, out, errs := easymicro(t, append([]string{"list"}, at...)...); exit != 0 || !strings.Contains(out, "Far") || !strings.Contains(out, "near") {
			t.Fatalf("exit %d:\n%s%s", exit, out, errs)
		}
		for _, service := range []string{"near", "Far"} {
			if exit, out, errs := easymicro(t, append([]string{"describe", service}, at...)...); exit != 0 || !strings.HasPrefix(out, service+"   1 endpoint") {
				t.Fatalf("describe %s: exit %d:\n%s%s", service, exit, out, errs)
			}
			if exit, out, errs := easymicro(t, append([]string{"call", service + ".Mul"}, at...)...); exit != 4 || !strings.Contains(errs, "refused") {
				t.Fatalf("%s: exit %d:\n%s%s", service, exit, out, errs)
			}
		}
	}
}

// A client that may read the keys of only one layout gets an error that names the other.
func TestCommandsSayWhichLayoutTheyLack(t *testing.T) {
	t.Parallel()
	s := etcdtest.Start(t)
	s.Put("services/near/127.0.0.1:1", "")
	s.Put("rpcx/Far/tcp@127.0.0.1:1", "")
	cl := s.Client()
	_, err := cl.UserAdd(t.Context(), "reader", "secret")
	must(t, err)
	_, err = cl.RoleAdd(t.Context(), "near")
	must(t, err)
	_, err = cl.RoleGrantPermission(t.Context(), "near", "services/", clientv3.GetPrefixRangeEnd("services/"), clientv3.PermissionType(clientv3.PermRead))
	must(t, err)
	_, err = cl.UserGrantRole(t.Context(), "reader", "near")
	must(t, err)
	s.EnableAuth("admin", "other")
	user, password := filepath.Join(t.TempDir(), "user"), filepath.Join(t.TempDir(), "password")
	must(t, os.WriteFile(user, []byte("reader"), 0o600))
	must(t, os.WriteFile(password, []byte("secret"), 0o600))
	at := []string{"--etcd", s.URL(), "--layouts", "easymicro,rpcx", "--etcd-user-file", user, "--etcd-password-file", password}
	exit, out, errs := easymicro(t, append([]string{"list"}, at...)...)
	if exit == 0 || !strings.Contains(out, "near") || !strings.Contains(errs, "the keys of layout rpcx were not listed") || !strings.Contains(errs, "permission denied") {
		t.Errorf("exit %d:\n%s%s", exit, out, errs)
	}
	if exit, out, errs := easymicro(t, append([]string{"call", "Far.Mul"}, at...)...); exit != 4 || !strings.Contains(errs, "layout rpcx") {
		t.Errorf("exit %d:\n%s%s", exit, out, errs)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
