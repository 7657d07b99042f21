package watch

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// mount is a line of /proc/self/mountinfo.
type mount struct {
	root  string // mounted path of the file system
	point string // mount point
}

// deleted ends the root of a mount that was removed from its file system.
const deleted = "//deleted"

// Why changes behind a mount are not seen.
const (
	alone = "this file is mounted by itself, as with a Kubernetes subPath: a file that replaces the source by rename " +
		"is not seen until a restart; mount the directory instead"
	version = "this file is in one version of a Kubernetes volume, mounted by subPath: the next version is not seen until a restart; " +
		"mount the whole volume instead"
	gone = "this file is in a mount whose source was replaced or removed: changes of the source are not seen until a restart; " +
		"mount the parent directory instead"
)

// Mounted returns the paths whose changes cannot all be seen because of how they are mounted, and why. It returns
// none where mounts are not known.
func Mounted(paths []string) map[string]string {
	mounts := parseMounts(mountinfo())
	why := make(map[string]string)
	for _, path := range paths {
		resolved, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue
		}
		if resolved, err = filepath.Abs(resolved); err != nil {
			continue
		}
		if reason := mounts.why(resolved); reason != "" {
			why[path] = reason
		}
	}
	return why
}

// mountTable lists the mounts in order; a later one hides earlier ones at the same point.
type mountTable []mount

// parseMounts parses mountinfo and skips lines that it does not understand.
func parseMounts(info string) mountTable {
	var table mountTable
	for line := range strings.Lines(info) {
		fields := strings.Fields(line) // ID, parent, device, root, mount point, options …
		if len(fields) >= 6 && strings.HasPrefix(fields[4], "/") {
			table = append(table, mount{root: unescape(fields[3]), point: unescape(fields[4])})
		}
	}
	return table
}

// unescape replaces octal codes: \040 is a space.
func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if code, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		b.WriteByte(text[i])
	}
	return b.String()
}

// mountinfo returns the mounts of this process; "" on other systems than Linux.
func mountinfo() string {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	return string(data)
}

// versioned matches the root of a mount inside one version of a Kubernetes volume.
var versioned = regexp.MustCompile(`/\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\.\d+(/|$)`)

// why returns why changes of a resolved path are not seen, or "".
func (t mountTable) why(path string) string {
	var at *mount
	for i := range t {
		m := &t[i]
		if m.holds(path) && (at == nil || len(m.point) >= len(at.point)) {
			at = m
		}
	}
	switch {
	case at == nil:
		return ""
	case strings.HasSuffix(at.root, deleted):
		return gone
	case at.point == path:
		return alone
	case versioned.MatchString(at.root):
		return version
	}
	return ""
}

func (m *mount) holds(path string) bool {
	return path == m.point || strings.HasPrefix(path, strings.TrimSuffix(m.point, "/")+"/")
}
