// Package machine reports the memory and the file descriptors that are available to this process, and tunes its heap.
package machine

import (
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// limitOf returns the memory limit of the control groups of a process whose file system begins at root: the lowest of its own
// group and those around it, of version 2 or 1. It is 0 without a limit, or if none can be read.
func limitOf(root fs.FS) int64 {
	groups, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	least := int64(math.MaxInt64)
	for line := range strings.Lines(string(groups)) {
		// hierarchy:controllers:path, and version 2 has no controllers
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[0] == "0" && parts[1] == "":
			least = min(least, leastUpwards(root, "sys/fs/cgroup", parts[2], "memory.max"))
		case slices.Contains(strings.Split(parts[1], ","), "memory"):
			least = min(least, leastUpwards(root, "sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes"))
		}
	}
	if least >= noLimit {
		return 0
	}
	return least
}

// noLimit is the value from which a limit of version 1 means none: it writes the greatest multiple of the page size.
const noLimit = 1 << 62

// leastUpwards returns the lowest number in the files called name of a group and all groups around it. In a container, the
// group may have the name that the machine knows, and be the root of the mount.
func leastUpwards(root fs.FS, mount, group, name string) int64 {
	least := int64(math.MaxInt64)
	for group = path.Join("/", group); ; group = path.Dir(group) {
		if text, err := fs.ReadFile(root, path.Join(mount, group, name)); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n > 0 { // not max
				least = min(least, n)
			}
		}
		if group == "/" {
			return least
		}
	}
}
