package machine

import (
	"io/fs"
	"path"
	"slices"
	"strings"
)

// groups are the control groups of a process in one hierarchy, from its own to the outermost that it sees.
type groups struct {
	unified bool     // version 2
	own     string   // the group of the process, as the mount names it
	dirs    []string // within the file system
}

// groupsOf returns the control groups with a controller of a process whose file system begins at root, of version 1 and 2. A group
// of version 2 may lack the files of the controller.
func groupsOf(root fs.FS, controller string) (all []groups) {
	mounts := mountsOf(root)
	for line := range strings.Lines(readText(root, "proc/self/cgroup")) {
		// hierarchy:controllers:path, and version 2 has no controllers
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		unified := parts[0] == "0" && parts[1] == ""
		if !unified && !slices.Contains(strings.Split(parts[1], ","), controller) {
			continue
		}
		at := groupMount{point: "sys/fs/cgroup", root: "/", unified: unified}
		if !unified {
			at.point = path.Join(at.point, controller)
		}
		if i := slices.IndexFunc(mounts, func(m groupMount) bool { return m.has(unified, controller) }); i >= 0 {
			at = mounts[i]
		}
		all = append(all, at.groups(parts[2]))
	}
	return all
}

// groupMount is a mounted hierarchy of control groups.
type groupMount struct {
	point       string // without the first slash
	root        string // the group that is mounted
	unified     bool   // version 2
	controllers []string
}

func (m *groupMount) has(unified bool, controller string) bool {
	return m.unified == unified && (unified || slices.Contains(m.controllers, controller))
}

// groups returns a group and all groups around it. In a container, the group may have the name that the machine knows, and be the
// root of the mount.
func (m *groupMount) groups(own string) groups {
	own = path.Join("/", own)
	if m.root != "/" && (own == m.root || strings.HasPrefix(own, m.root+"/")) {
		own = path.Join("/", strings.TrimPrefix(own, m.root))
	}
	g := groups{unified: m.unified, own: own}
	for dir := own; ; dir = path.Dir(dir) {
		g.dirs = append(g.dirs, path.Join(m.point, dir))
		if dir == "/" {
			return g
		}
	}
}

// mountsOf returns the mounted hierarchies of control groups, from /proc/self/mountinfo.
func mountsOf(root fs.FS) (all []groupMount) {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(readText(root, "proc/self/mountinfo")) {
		// identifier parent device root point options, optional fields, a dash, type source options of the hierarchy
		mount, kind, ok := strings.Cut(line, " - ")
		before, after := strings.Fields(mount), strings.Fields(kind)
		if !ok || len(before) < 5 || len(after) < 3 || after[0] != "cgroup" && after[0] != "cgroup2" {
			continue
		}
		all = append(all, groupMount{
			point: strings.TrimPrefix(unescape.Replace(before[4]), "/"), root: path.Clean(unescape.Replace(before[3])),
			unified: after[0] == "cgroup2", controllers: strings.Split(after[2], ","),
		})
	}
	return all
}
