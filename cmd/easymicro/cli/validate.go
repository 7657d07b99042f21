package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
)

func (a *app) validate() *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "validate [FILES…]",
		Short: "Check manifests and their policy files, starting nothing",
		Long: `validate reads manifests (default: that of -c) and everything that belongs to them, by the same code as serve, and prints
all problems with their places. It exits with 3 when there are some. --strict makes problems of warnings. -o github prints
annotations for a pull request.`,
		Example: `  easymicro validate samples/quickstart/easymicro.yaml
  easymicro validate --strict -o github`,
		RunE: func(_ *cobra.Command, files []string) error {
			if len(files) == 0 {
				files = []string{a.manifest}
			}
			return a.runValidate(files, strict)
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings are problems too")
	return cmd
}

// finding is a problem with the path of its file from the current folder.
type finding struct {
	config.Problem
	path string
}

func (a *app) runValidate(files []string, strict bool) error {
	var found []finding
	bad := 0
	for _, file := range files {
		problems, err := a.check(file)
		if err != nil {
			return err
		}
		for _, p := range problems {
			if strict {
				p.Warning = false
			}
			if !p.Warning {
				bad++
			}
			found = append(found, finding{p, filepath.Join(filepath.Dir(file), p.File)})
		}
	}
	if err := a.showFindings(found); err != nil {
		return err
	}
	if bad > 0 {
		if a.output != outputText {
			return &exitError{code: ExitProblems}
		}
		return &exitError{ExitProblems, errors.New(count(bad, "problem"))}
	}
	if a.output == outputText {
		a.line("%s: no problems", strings.Join(files, ", "))
	}
	return nil
}

// check is what serve would find wrong with a manifest.
func (a *app) check(file string) (config.Problems, error) {
	set, err := load.Load(file, load.Options{})
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		return problems, nil
	case err != nil:
		return nil, err
	}
	return host.Check(set, a.registry), nil
}

func (a *app) showFindings(found []finding) error {
	if a.output == outputJSON {
		list := make([]config.Problem, len(found))
		for i, f := range found {
			list[i] = f.Problem
			list[i].File = f.path
		}
		return a.json(list)
	}
	for _, f := range found {
		p := f.Problem
		p.File = f.path
		level := "error"
		if p.Warning {
			level = "warning"
		}
		switch {
		case a.output == outputGithub:
			a.line("::%s file=%s,line=%d,col=%d::%s", level, githubValue(p.File), p.Line, p.Column, githubText(p))
		case p.Warning:
			a.line("%s (warning)", p)
		default:
			a.line("%s", p)
		}
	}
	return nil
}

// githubText is the message without its place, which the annotation has already.
func githubText(p config.Problem) string {
	p.File = ""
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(p.String())
}

func githubValue(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace(fmt.Sprint(s))
}
