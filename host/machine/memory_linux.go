package machine

import (
	"os"
	"syscall"
)

// Memory returns how many bytes of memory there are for this process: what its control groups allow, or the machine has.
// It is 0 when neither is known.
func Memory() int64 {
	if limit := Limit(); limit > 0 {
		return limit
	}
	return installed()
}

// Limit returns how many bytes of memory the control groups of this process allow; 0 where they allow all that the machine
// has.
func Limit() int64 {
	limit, all := limitOf(os.DirFS("/")), installed()
	if all > 0 && limit >= all {
		return 0
	}
	return limit
}

// installed returns how much memory the machine has; 0 where that is unknown.
func installed() int64 {
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) != nil {
		return 0
	}
	return int64(uint64(info.Totalram) * uint64(info.Unit)) //nolint:unconvert // narrower on 32-bit machines
}
