package machine

import (
	"os"
	"syscall"
)

// Memory returns how many bytes of memory there are for this process: what its control groups allow, or the machine has.
// It is 0 when neither is known.
func Memory() int64 {
	var all int64
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		all = int64(uint64(info.Totalram) * uint64(info.Unit)) //nolint:unconvert // narrower on 32-bit machines
	}
	if limit := limitOf(os.DirFS("/")); limit > 0 && (all == 0 || limit < all) {
		return limit
	}
	return all
}
