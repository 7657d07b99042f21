package machine

import (
	"os"
	"syscall"
)

// Memory returns the memory available to this process in bytes: the limit of its control groups or, without one, the memory
// of the machine. It is 0 if neither is known.
func Memory() int64 {
	if limit := Limit(); limit > 0 {
		return limit
	}
	return installed()
}

// Limit returns the memory limit of the control groups of this process in bytes; 0 if it is not below the memory of the
// machine.
func Limit() int64 {
	limit, all := limitOf(os.DirFS("/")), installed()
	if all > 0 && limit >= all {
		return 0
	}
	return limit
}

// installed returns the memory of the machine in bytes; 0 if it is unknown.
func installed() int64 {
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) != nil {
		return 0
	}
	return int64(uint64(info.Totalram) * uint64(info.Unit)) //nolint:unconvert // narrower on 32-bit machines
}
