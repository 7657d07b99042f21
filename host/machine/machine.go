// Package machine reports the memory and the file descriptors that are available to this process, and tunes its heap.
package machine

import (
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// limitOf returns the memory limit of the control groups of a process whose file system begins at root: the lowest of its own
// group and those around it, of version 2 or 1. It is 0 without a limit, or if none can be read.
func limitOf(root fs.FS) int64 {
	least := int64(noLimit)
	for _, g := range groupsOf(root, "memory") {
		name := "memory.limit_in_bytes"
		if g.unified {
			name = "memory.max"
		}
		for _, dir := range g.dirs {
			n, err := strconv.ParseInt(strings.TrimSpace(readText(root, path.Join(dir, name))), 10, 64)
			if err == nil && n > 0 { // neither max nor -1
				least = min(least, n)
			}
		}
	}
	if least == noLimit {
		return 0
	}
	return least
}

// noLimit is the value from which a limit of version 1 means none: it writes the greatest multiple of the page size.
const noLimit = 1 << 62
