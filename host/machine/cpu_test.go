package machine

import (
	"math"
	"runtime"
	"testing"
	"testing/fstest"
	"time"
)

func TestTheBusiestGroupWithAQuotaCountsOrElseTheProcessors(t *testing.T) {
	v2 := func(quota, usage string) map[string]string {
		return map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": quota, "sys/fs/cgroup/a/b/cpu.stat": "usage_usec " + usage + "\nuser_usec 1\n",
			"proc/stat": "cpu0 0 0 0 100\ncpu1 0 0 0 100\ncpu2 0 0 0 100\n",
		}
	}
	// Two hierarchies and three processors, of which 0.4 are used.
	v1 := func(quota, usage, cpu, acct string) map[string]string {
		busy := "0 0 0 0"
		if usage != "0" {
			busy = "40 0 0 60"
		}
		return map[string]string{
			"proc/self/cgroup":        "2:cpuacct:" + acct + "\n1:cpu:" + cpu + "\n",
			"proc/self/mountinfo":     "31 30 0:28 / /cg/1 rw - cgroup cgroup rw,cpu\n32 30 0:29 / /cg/2 rw - cgroup cgroup rw,cpuacct\n",
			"cg/1/a/cpu.cfs_quota_us": quota + "\n", "cg/1/a/cpu.cfs_period_us": "100000\n", "cg/2/a/cpuacct.usage": usage + "\n", "cg/1/none/cpu.cfs_quota_us": "100000\n", "cg/1/none/cpu.cfs_period_us": "100000\n",
			"proc/stat": "cpu0 " + busy + "\ncpu1 " + busy + "\ncpu2 " + busy + "\n",
		}
	}
	for name, c := range map[string]struct {
		before, after map[string]string // a second later
		share, cores  float64
	}{
		"version 2":               {v2("200000 100000\n", "5000000"), v2("200000 100000\n", "6500000"), 0.75, 2},
		"part of a core":          {v2("50000 100000\n", "0"), v2("50000 100000\n", "250000"), 0.5, 0.5},
		"more than the quota":     {v2("50000 100000\n", "0"), v2("50000 100000\n", "900000"), 1, 0.5},
		"another quota meanwhile": {v2("50000 100000\n", "0"), v2("100000 100000\n", "900000"), 0, 0},
		"a group around it": {
			map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n", "sys/fs/cgroup/a/cpu.max": "100000 100000\n", "sys/fs/cgroup/a/cpu.stat": "usage_usec 0\n"},
			map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n", "sys/fs/cgroup/a/cpu.max": "100000 100000\n", "sys/fs/cgroup/a/cpu.stat": "usage_usec 600000\n"},
			0.6, 1,
		},
		"version 1": {
			map[string]string{"proc/self/cgroup": "4:cpu,cpuacct:/d/7\n", "sys/fs/cgroup/cpu/d/7/cpu.cfs_quota_us": "150000\n", "sys/fs/cgroup/cpu/d/7/cpu.cfs_period_us": "100000\n", "sys/fs/cgroup/cpuacct/d/7/cpuacct.usage": "0\n"},
			map[string]string{"proc/self/cgroup": "4:cpu,cpuacct:/d/7\n", "sys/fs/cgroup/cpu/d/7/cpu.cfs_quota_us": "150000\n", "sys/fs/cgroup/cpu/d/7/cpu.cfs_period_us": "100000\n", "sys/fs/cgroup/cpuacct/d/7/cpuacct.usage": "1200000000\n"},
			0.8, 1.5,
		},
		"version 1 with the usage in a hierarchy of its own": {v1("200000", "0", "/a", "/a"), v1("200000", "500000000", "/a", "/a"), 0.25, 2},
		"version 1 with the usage of another group":          {v1("200000", "0", "/a", "/b"), v1("200000", "500000000", "/a", "/b"), 0.4, 3},
		"version 1, unlimited":                               {v1("-1", "0", "/a", "/a"), v1("-1", "500000000", "/a", "/a"), 0.4, 3},
		"version 1 without its usage":                        {v1("-1", "0", "/none", "/none"), v1("-1", "500000000", "/none", "/none"), 0.4, 3},
		"a quota of all processors":                          {v1("300000", "0", "/a", "/a"), v1("300000", "500000000", "/a", "/a"), 0.4, 3},
		"the lowest quota of nested groups": {
			map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "200000 100000\n", "sys/fs/cgroup/a/b/cpu.stat": "usage_usec 0\n", "sys/fs/cgroup/a/cpu.max": "100000 100000\n", "sys/fs/cgroup/a/cpu.stat": "usage_usec 0\n"},
			map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "200000 100000\n", "sys/fs/cgroup/a/b/cpu.stat": "usage_usec 600000\n", "sys/fs/cgroup/a/cpu.max": "100000 100000\n", "sys/fs/cgroup/a/cpu.stat": "usage_usec 900000\n"},
			0.9, 1,
		},
		"no quota": {
			map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n", "proc/stat": "cpu  1 1 1 1\ncpu0 10 0 0 90 0 0 0 0 0 0\ncpu1 10 0 0 90 0 0 0 0 0 0\nintr 5\n"},
			map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n", "proc/stat": "cpu  1 1 1 1\ncpu0 60 10 10 110 10 0 0 0 9 9\ncpu1 70 0 0 130 0 0 0 0 0 0\nintr 5\n"},
			0.65, 2,
		},
		"some processors": {
			map[string]string{"proc/self/status": "Name:\tx\nCpus_allowed_list:\t1,3-4\n", "proc/stat": "cpu0 0 0 0 0\ncpu1 0 0 0 0\ncpu2 0 0 0 0\ncpu3 0 0 0 0\n"},
			map[string]string{"proc/self/status": "Name:\tx\nCpus_allowed_list:\t1,3-4\n", "proc/stat": "cpu0 99 0 0 1\ncpu1 20 0 0 80\ncpu2 99 0 0 1\ncpu3 40 0 0 60\n"},
			0.3, 2,
		},
		"nothing":  {nil, nil, 0, 0},
		"nonsense": {map[string]string{"proc/self/cgroup": "0::\nx\n", "proc/stat": "cpu0 a b\ncpuX 1 2 3 4\n"}, map[string]string{"proc/stat": "cpu\n"}, 0, 0},
	} {
		share, cores, _ := busiest(cpuTimes(files(c.before), 0), cpuTimes(files(c.after), time.Second))
		if math.Abs(share-c.share) > 1e-3 || cores != c.cores {
			t.Errorf("%s: %.3f of %v cores, want %.3f of %v", name, share, cores, c.share, c.cores)
		}
	}
}

func files(texts map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	for name, text := range texts {
		root[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return root
}

func TestTheUtilizationIsMeasuredWhileItIsNeeded(t *testing.T) {
	if !HasCPU() {
		t.Skip("cannot be measured on " + runtime.GOOS)
	}
	c := new(CPU)
	if u := c.Utilization(); u != (Utilization{}) {
		t.Errorf("before: %+v", u)
	}
	for range 2 {
		c.Measure(true)
	}
	for deadline := time.Now().Add(20 * time.Second); c.Utilization().Cores == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("nothing is measured")
		}
	}
	if u := c.Utilization(); u.Share < 0 || u.Share > 1 || u.Over != time.Second {
		t.Errorf("%+v", u)
	}
	for range 2 {
		c.Measure(false)
	}
	if u := c.Utilization(); u != (Utilization{}) {
		t.Errorf("after: %+v", u)
	}
	c.Assume(Utilization{Share: 0.5, Cores: 3})
	if u := c.Utilization(); u.Share != 0.5 || u.Cores != 3 {
		t.Errorf("assumed: %+v", u)
	}
}
