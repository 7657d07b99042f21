package cli

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

const module = "github.com/easymicro/easymicro"

// version is that of easymicro in this binary: of its module, or else the commit that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return versionOf(info)
}

func versionOf(info *debug.BuildInfo) string {
	if info.Main.Path != module { // a host with handlers of its own
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

// built names the module of a host with handlers of its own.
func built() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Path == module || info.Main.Path == "" {
		return ""
	}
	return info.Main.Path + " " + info.Main.Version
}

type versionView struct {
	Version  string `json:"version"`
	Build    string `json:"build,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "The version of this binary",
		Example: `  easymicro version
  easymicro version -o json`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return a.showVersion() },
	}
}

func (a *app) showVersion() error {
	v := versionView{Version: version(), Build: built(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	return a.print(v, func() {
		a.line("easymicro %s   %s   %s", v.Version, v.Go, v.Platform)
		if v.Build != "" {
			a.line("in %s", v.Build)
		}
	})
}
