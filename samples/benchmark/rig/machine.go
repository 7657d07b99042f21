package rig

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Machine is where a run took place.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
	Source string `json:"source"` // the commit; "+" after it: with changes
}

func thisMachine(ctx context.Context) Machine {
	m := Machine{Cores: runtime.NumCPU(), Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.CPU = fieldOf(string(text), "model name")
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	if out, err := exec.CommandContext(ctx, "git", "rev-parse", "--short", "HEAD").Output(); err == nil {
		m.Source = strings.TrimSpace(string(out))
	}
	if out, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "-uno").Output(); err == nil && len(out) > 0 {
		m.Source += "+"
	}
	return m
}

// fieldOf returns the first value of a name in text with lines such as "model name : value".
func fieldOf(text, name string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// usage is how much of the machine was used, by all processes and by this one.
type usage struct {
	at        time.Time
	all, self time.Duration
}

// tick is the unit of /proc/stat: USER_HZ, which is 100 wherever Go runs on Linux.
const tick = 10 * time.Millisecond

func readUsage() (usage, error) {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return usage{}, err
	}
	defer f.Close()
	line, err := bufio.NewReader(f).ReadString('\n')
	if err != nil {
		return usage{}, err
	}
	u := usage{at: time.Now()}
	if u.all, err = busy(line); err != nil {
		return usage{}, err
	}
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return usage{}, err
	}
	u.self = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	return u, nil
}

var errStat = errors.New("/proc/stat does not begin with the times of all processors")

// busy returns the time that processors were not idle, from the first line of /proc/stat: user, nice, system, idle, iowait,
// irq, softirq and steal, the time that another virtual machine took. Times of guests are part of user.
func busy(line string) (time.Duration, error) {
	fields := strings.Fields(line)
	const last = 8
	if len(fields) <= last || fields[0] != "cpu" {
		return 0, errStat
	}
	var sum time.Duration
	for i, field := range fields[1 : last+1] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, errStat
		}
		if name := i + 1; name != 4 && name != 5 {
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}

// others returns the share of the machine that was used between two moments, but by the rig and the processes that took ours.
func others(before, after usage, ours time.Duration, cores int) float64 {
	whole := after.at.Sub(before.at) * time.Duration(cores)
	if whole <= 0 {
		return 0
	}
	rest := after.all - before.all - (after.self - before.self) - ours
	return max(0, float64(rest)/float64(whole))
}
