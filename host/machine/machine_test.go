package machine

import (
	"testing"
	"testing/fstest"
)

func TestTheLeastLimitOfAllGroupsCounts(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	for name, c := range map[string]struct {
		root fstest.MapFS
		want int64
	}{
		"no groups":  {fstest.MapFS{}, 0},
		"version 2":  {fstest.MapFS{"proc/self/cgroup": file("0::/a/b\n"), "sys/fs/cgroup/a/b/memory.max": file("1048576\n")}, 1 << 20},
		"no limit 2": {fstest.MapFS{"proc/self/cgroup": file("0::/a\n"), "sys/fs/cgroup/a/memory.max": file("max\n")}, 0},
		"a group around it has less": {fstest.MapFS{
			"proc/self/cgroup":             file("0::/a/b\n"),
			"sys/fs/cgroup/a/b/memory.max": file("max\n"), "sys/fs/cgroup/a/memory.max": file("4096\n"),
		}, 4096},
		"seen from inside of a container": {fstest.MapFS{
			"proc/self/cgroup":         file("0::/../pod/x\n"),
			"sys/fs/cgroup/memory.max": file("8192"),
		}, 8192},
		"version 1": {fstest.MapFS{
			"proc/self/cgroup": file("5:cpu:/x\n4:memory,misc:/docker/7\n1:name=systemd:/y\n"),
			"sys/fs/cgroup/memory/docker/7/memory.limit_in_bytes": file("2097152\n"),
		}, 2 << 20},
		"version 1 in a container": {fstest.MapFS{
			"proc/self/cgroup": file("4:memory:/docker/7\n"), "sys/fs/cgroup/memory/memory.limit_in_bytes": file("2097152\n"),
		}, 2 << 20},
		"no limit 1": {fstest.MapFS{
			"proc/self/cgroup": file("4:memory:/\n"), "sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n"),
		}, 0},
		"unlimited, as -1": {fstest.MapFS{
			"proc/self/cgroup": file("4:memory:/a\n"), "sys/fs/cgroup/memory/a/memory.limit_in_bytes": file("-1\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("4096\n"),
		}, 4096},
		"version 1, mounted elsewhere": {fstest.MapFS{
			"proc/self/mountinfo":                        file("34 30 0:31 / /dev/cg\\040roup/mem rw - cgroup none rw,memory\n"),
			"proc/self/cgroup":                           file("4:memory:/a\n"),
			"dev/cg roup/mem/a/memory.limit_in_bytes":    file("4096\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("1024\n"),
		}, 4096},
		"version 2 beside version 1": {fstest.MapFS{
			"proc/self/mountinfo":                file("40 30 0:37 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n"),
			"proc/self/cgroup":                   file("0::/a\n"),
			"sys/fs/cgroup/unified/a/memory.max": file("4096\n"),
			"sys/fs/cgroup/a/memory.max":         file("1024\n"),
		}, 4096},
		"a mounted part of the hierarchy": {fstest.MapFS{
			"proc/self/mountinfo":                   file("34 30 0:31 /docker/7 /sys/fs/cgroup rw - cgroup2 cgroup rw\nbad line\n"),
			"proc/self/cgroup":                      file("0::/docker/7/job\n"),
			"sys/fs/cgroup/job/memory.max":          file("4096\n"),
			"sys/fs/cgroup/docker/7/job/memory.max": file("1024\n"),
		}, 4096},
		"both versions": {fstest.MapFS{
			"proc/self/cgroup":                           file("4:memory:/\n0::/\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("300\n"),
			"sys/fs/cgroup/memory.max":                   file("200\n"),
		}, 200},
		"nonsense": {fstest.MapFS{"proc/self/cgroup": file("0::\nx\n0::/a\n"), "sys/fs/cgroup/a/memory.max": file("-7\n")}, 0},
	} {
		if got := limitOf(c.root); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
