package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

const module = "github.com/easymicro/easymicro"

// version returns the version of easymicro in this binary: of its module, or else the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return versionOf(info)
}

func versionOf(info *debug.BuildInfo) string {
	if info.Main.Path != module { // a custom binary
		for _, dep := range info.Deps {
			if dep.Path != module {
				continue
			}
			if dep.Replace != nil && dep.Replace.Version != "" {
				return dep.Replace.Version
			}
			if dep.Replace == nil && dep.Version != "" {
				return dep.Version
			}
		}
		return "devel"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	commit, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if commit == "" {
		return "devel"
	}
	return "devel-" + commit[:min(12, len(commit))] + dirty
}

// mainModule returns the main module of a custom binary with its version.
func mainModule() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Path == module || info.Main.Path == "" {
		return ""
	}
	return info.Main.Path + " " + info.Main.Version
}

// versionView is the version in the JSON output.
type versionView struct {
	Version  string `json:"version"`
	Build    string `json:"build,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// versionCommand prints the version of the binary.
type versionCommand struct{ *app }

func newVersion(c *versionCommand) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary",
		Example: `  easymicro version
  easymicro version -o json`,
		Args: noArgs,
		RunE: c.run,
	}
}

func (c *versionCommand) run(*cobra.Command, []string) error {
	v := versionView{Version: version(), Build: mainModule(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	return c.print(v, func() {
		c.line("easymicro %s   %s   %s", v.Version, v.Go, v.Platform)
		if v.Build != "" {
			c.line("in %s", v.Build)
		}
	})
}
