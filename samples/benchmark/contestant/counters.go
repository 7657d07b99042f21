package contestant

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

// countSelf returns the counters of this process.
func countSelf() contract.Counters {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	// Go reads and writes sockets by read(2) and write(2), which the kernel counts here with those of files. Attempts that
	// find nothing to read count, too.
	io := procNumbers("/proc/self/io")
	return contract.Counters{
		CPUUs:      cpuUs(),
		Mallocs:    int64(m.Mallocs),
		AllocBytes: int64(m.TotalAlloc),
		GCs:        int64(m.NumGC),
		Reads:      io["syscr"],
		Writes:     io["syscw"],
		RSSBytes:   procNumbers("/proc/self/status")["VmRSS"] << 10,
	}
}

// cpuUs returns the processor time of this process.
func cpuUs() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	us := func(t syscall.Timeval) int64 { return t.Sec*1e6 + t.Usec }
	return us(u.Utime) + us(u.Stime)
}

// procNumbers returns the numbers in a file with lines such as "VmRSS:  123 kB", and nothing on systems without it.
func procNumbers(path string) map[string]int64 {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	numbers := map[string]int64{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		value, _, _ = strings.Cut(strings.TrimSpace(value), " ")
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			numbers[name] = n
		}
	}
	return numbers
}
