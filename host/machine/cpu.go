package machine

import (
	"context"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Utilization is how much of the CPU time that this process may use is used.
type Utilization struct {
	Share float64       // smoothed, from 0 to 1
	Cores float64       // that the share is of
	Over  time.Duration // over which it is smoothed
}

// CPU measures the CPU utilization of the control groups of this process, if one of them has a quota, and otherwise of the processors
// that it may run on. The zero CPU is ready for use.
type CPU struct {
	is atomic.Pointer[Utilization] // nil: it is not measured

	mu   sync.Mutex
	stop func() // ends the measurement, and waits for it; nil: there is none
}

const (
	cpuEvery = 100 * time.Millisecond
	cpuOver  = time.Second // the time constant of the mean
)

// HasCPU reports whether the CPU utilization can be measured on this system.
func HasCPU() bool { return len(cpuTimes(os.DirFS("/"), 0)) > 0 }

// Utilization returns the utilization; the zero Utilization while it is not measured.
func (c *CPU) Utilization() Utilization {
	if u := c.is.Load(); u != nil {
		return *u
	}
	return Utilization{}
}

// Measure begins to measure, or ends it and waits until it has ended.
func (c *CPU) Measure(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case on == (c.stop != nil):
	case on:
		ctx, cancel := context.WithCancel(context.Background())
		var measuring sync.WaitGroup
		measuring.Go(func() { c.measure(ctx, os.DirFS("/")) })
		c.stop = func() {
			cancel()
			measuring.Wait()
		}
	default:
		c.stop()
		c.stop = nil
		c.is.Store(nil)
	}
}

// Assume replaces what is measured, for tests.
func (c *CPU) Assume(u Utilization) {
	c.Measure(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stop = func() {}
	c.is.Store(&u)
}

// measure measures until ctx ends.
func (c *CPU) measure(ctx context.Context, root fs.FS) {
	ticker := time.NewTicker(cpuEvery)
	defer ticker.Stop()
	var u Utilization
	began := time.Now()
	at, last, known := began, cpuTimes(root, 0), began
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		next := cpuTimes(root, now.Sub(began)) // a step of the clock changes nothing
		if share, cores, ok := busiest(last, next); ok {
			u.Share += (1 - math.Exp(-now.Sub(at).Seconds()/cpuOver.Seconds())) * (share - u.Share)
			u.Cores, u.Over = cores, cpuOver
			measured := u
			c.is.Store(&measured)
			known = now
		} else if now.Sub(known) > 10*cpuOver {
			c.is.Store(nil) // what was measured long ago says nothing
		}
		at, last = now, next
	}
}

// busiest returns the utilization between two readings, of the group that is the most busy.
func busiest(before, after []cpuTime) (share, cores float64, ok bool) {
	if len(before) != len(after) {
		return 0, 0, false // moved to another group
	}
	for i := range after {
		a, b := before[i], after[i]
		if b.all <= a.all || b.cores != a.cores {
			continue
		}
		if s := min(max((b.busy-a.busy)/(b.all-a.all), 0), 1); !ok || s > share {
			share, cores, ok = s, b.cores, true
		}
	}
	return share, cores, ok
}

// cpuTime is the CPU time that was used and that there was up to a moment, in one unit.
type cpuTime struct{ busy, all, cores float64 }

// cpuTimes reads the CPU times of the groups with a quota, or else of the processors, of a process whose file system begins at root;
// none if they cannot be read. A quota of all processors or more limits nothing. Since is the time since any moment, the same for
// all readings.
func cpuTimes(root fs.FS, since time.Duration) (list []cpuTime) {
	all := processors(readText(root, "proc/stat"), readText(root, "proc/self/status"))
	usages := groupsOf(root, "cpuacct")
	for _, g := range groupsOf(root, "cpu") {
		usage := slices.IndexFunc(usages, func(u groups) bool { return u.unified == g.unified && u.own == g.own })
		for i, dir := range g.dirs {
			var used, cores float64
			if g.unified {
				used, cores = groupV2(root, dir)
			} else if usage >= 0 {
				used, cores = groupV1(root, dir, usages[usage].dirs[i])
			}
			if cores > 0 && (all.cores == 0 || cores < all.cores) {
				list = append(list, cpuTime{used, since.Seconds() * cores, cores})
			}
		}
	}
	if len(list) == 0 && all.cores > 0 {
		return []cpuTime{all}
	}
	return list
}

func readText(root fs.FS, name string) string {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return string(text)
}

func readNumber(root fs.FS, name string) float64 {
	return number(strings.TrimSpace(readText(root, name)))
}

// number returns the number of a text; 0 if it is none.
func number(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return 0
	}
	return n
}

// groupV2 returns the seconds of CPU time that a group of version 2 has used, and its quota in cores; 0 without one, or if the usage
// is not known.
func groupV2(root fs.FS, dir string) (used, cores float64) {
	quota, period, ok := strings.Cut(strings.TrimSpace(readText(root, path.Join(dir, "cpu.max"))), " ")
	if !ok || number(quota) <= 0 || number(period) <= 0 { // max
		return 0, 0
	}
	for line := range strings.Lines(readText(root, path.Join(dir, "cpu.stat"))) {
		if usec, ok := strings.CutPrefix(strings.TrimSpace(line), "usage_usec "); ok {
			return number(usec) / 1e6, number(quota) / number(period)
		}
	}
	return 0, 0
}

// groupV1 is groupV2 for version 1, whose usage may be in another hierarchy than the quota.
func groupV1(root fs.FS, dir, usage string) (used, cores float64) {
	quota, period := readNumber(root, path.Join(dir, "cpu.cfs_quota_us")), readNumber(root, path.Join(dir, "cpu.cfs_period_us"))
	text := readText(root, path.Join(usage, "cpuacct.usage"))
	if quota <= 0 || period <= 0 || text == "" { // a quota of -1 is none
		return 0, 0
	}
	return number(strings.TrimSpace(text)) / 1e9, quota / period
}

// processors returns the times of the processors that a process may run on, from /proc/stat and its /proc/self/status.
func processors(stat, status string) (sum cpuTime) {
	allowed := allowedProcessors(status)
	for line := range strings.Lines(stat) {
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasPrefix(fields[0], "cpu") || fields[0] == "cpu" {
			continue
		}
		n, err := strconv.Atoi(fields[0][len("cpu"):])
		if err != nil || !allowed(n) {
			continue
		}
		sum.cores++
		for i, f := range fields[1:min(len(fields), 9)] { // user nice system idle iowait irq softirq steal; the rest is part of user
			ticks := number(f)
			sum.all += ticks
			if i != 3 && i != 4 {
				sum.busy += ticks
			}
		}
	}
	return sum
}

// allowedProcessors returns which processors a process may run on: all if its status does not say.
func allowedProcessors(status string) func(n int) bool {
	for line := range strings.Lines(status) {
		list, ok := strings.CutPrefix(line, "Cpus_allowed_list:")
		if !ok {
			continue
		}
		ranges := strings.Split(strings.TrimSpace(list), ",")
		return func(n int) bool {
			return slices.ContainsFunc(ranges, func(r string) bool {
				first, last, ok := strings.Cut(r, "-")
				if !ok {
					last = first
				}
				return float64(n) >= number(first) && float64(n) <= number(last)
			})
		}
	}
	return func(int) bool { return true }
}
