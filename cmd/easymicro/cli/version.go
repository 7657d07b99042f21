package cli

import (
	_ "embed"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

const module = "github.com/easymicro/easymicro"

// release is the version of a distributed binary: -ldflags "-X github.com/easymicro/easymicro/cmd/easymicro/cli.release=v1.2.3".
var release string

// version returns the version of easymicro in this binary: of its release, of its module, or else the commit it was built from.
func version() string {
	if release != "" {
		return release
	}
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

// licenses holds what distributors of the binary must include: the licences and notices of easymicro and its dependencies.
//
//go:embed licenses/licenses.txt
var licenses string

// versionCommand prints the version of the binary.
type versionCommand struct {
	*app
	licenses bool
}

func newVersion(c *versionCommand) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version or the licences of this binary",
		Long: `version prints the version of this binary. With --licenses it prints what must accompany a binary that you distribute: the
licence and notice of easymicro, and those of Go and of every third-party module linked in. A custom binary prints the same;
the licences of your own modules and what they import are for you to add.`,
		Example: `  easymicro version
  easymicro version -o json
  easymicro version --licenses > LICENSES.txt`,
		Args: noArgs,
		RunE: c.run,
	}
	cmd.Flags().BoolVar(&c.licenses, "licenses", false, "print the licences and notices to distribute with the binary")
	return cmd
}

func (c *versionCommand) run(*cobra.Command, []string) error {
	if c.licenses {
		return c.print(map[string]string{"licenses": licenses}, func() { _, _ = io.WriteString(c.out, licenses) })
	}
	v := versionView{Version: version(), Build: mainModule(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	return c.print(v, func() {
		c.line("easymicro %s   %s   %s", v.Version, v.Go, v.Platform)
		if v.Build != "" {
			c.line("in %s", v.Build)
		}
	})
}
