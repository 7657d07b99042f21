package watch

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someMounts = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
40 27 254:0 /etc/orders/10.yaml /etc/easymicro/policies.d/10.yaml ro,relatime shared:1 master:2 - ext4 /dev/vda rw
41 27 254:0 /srv/a\040b /mnt/a\040b rw - ext4 /dev/vda rw
42 27 254:0 /srv/tab\011back\134slash\012line /mnt/tab\011back\134slash\012line rw - ext4 /dev/vda rw
43 27 254:0 /srv/old//deleted /mnt/replaced rw - ext4 /dev/vda rw
44 27 254:0 /srv/old.yaml//deleted /mnt/file.yaml rw - ext4 /dev/vda rw
45 27 8:1 /var/lib/kubelet/pods/1/volumes/kubernetes.io~configmap/p /etc/volume ro - ext4 /dev/sda rw
46 27 8:1 /var/lib/kubelet/pods/1/volumes/kubernetes.io~configmap/p/..2026_11_29_12_00_00.1234567/sub /etc/sub ro - ext4 /dev/sda rw
47 27 8:1 /one /mnt/twice.yaml ro - ext4 /dev/sda rw
48 27 0:50 / /mnt rw - tmpfs tmpfs rw
49 48 0:50 /x /mnt/inner rw - tmpfs tmpfs rw
broken
1 2 3 4 no-path rw - x y z
`

func TestChangesBehindSomeMountsAreNotSeen(t *testing.T) {
	table := parseMounts(someMounts)
	for path, want := range map[string]string{
		"/etc/easymicro/policies.d/10.yaml":     alone,
		"/etc/easymicro/policies.d/20.yaml":     "",
		"/etc/easymicro/policies.d/10.yaml.bak": "",
		"/mnt/a b":                              alone,
		"/mnt/a b/policy.yaml":                  "",
		"/mnt/tab\tback\\slash\nline":           alone,
		"/mnt/replaced/policy.yaml":             gone,
		"/mnt/replacedx/policy.yaml":            "",
		"/mnt/file.yaml":                        gone,
		"/etc/volume/..data/policy.yaml":        "",
		"/etc/sub/policy.yaml":                  version,
		"/etc/sub":                              alone,
		"/mnt/inner/policy.yaml":                "",
		"/mnt/inner":                            alone,
		"/home/x.yaml":                          "",
		"/proc/x":                               "",
		"relative":                              "",
	} {
		if got := table.why(path); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
	if table := parseMounts(""); table.why("/x") != "" {
		t.Error("a problem without mounts")
	}
}

func TestTheLastMountOfAPathCounts(t *testing.T) {
	const first, second = "1 0 8:1 /a//deleted /p.yaml rw - x x x\n", "2 0 8:1 /b /p.yaml rw - x x x\n"
	if got := parseMounts(first + second).why("/p.yaml"); got != alone {
		t.Error(got)
	}
	if got := parseMounts(second + first).why("/p.yaml"); got != gone {
		t.Error(got)
	}
}

func TestOctalCodesAreCharacters(t *testing.T) {
	for text, want := range map[string]string{
		`a\040b`: "a b", `\134040`: `\040`, `\303\244`: "ä", `\04`: `\04`, `\`: `\`, `\xyz`: `\xyz`, `\400`: `\400`, `\-10`: `\-10`, `end\012`: "end\n",
	} {
		if diff := cmp.Diff(want, unescape(text)); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func FuzzMountinfo(f *testing.F) {
	f.Add(someMounts, "/mnt/a b")
	f.Add(`1 2 3 \ /\777 6`, "/")
	f.Fuzz(func(t *testing.T, info, path string) {
		table := parseMounts(info)
		_ = table.why(path)
		for _, m := range table {
			if !strings.HasPrefix(m.point, "/") || len(m.point)+len(m.root) > len(info) {
				t.Errorf("%+v of %q", m, info)
			}
		}
	})
}
