package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/policies"
)

func (a *app) validate() *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "validate [FILES…]",
		Short: "Check manifests and their policy files, starting nothing",
		Long: `validate reads manifests (default: that of -c) and everything that belongs to them, by the same code as serve, and prints
all problems with their places. It also takes a policy file, or a file of tokens or endpoints, by itself; whether its rules
fit the services of a host is then not checked.

It exits with 3 when there are problems. --strict makes problems of warnings. -o github prints annotations for a pull
request, with paths from the current folder.`,
		Example: `  easymicro validate samples/quickstart/easymicro.yaml
  easymicro validate --strict -o github
  easymicro validate policies.d/*.yaml`,
		ValidArgsFunction: completeManifests,
		RunE: func(cmd *cobra.Command, files []string) error {
			if len(files) == 0 {
				files = []string{a.manifest}
			}
			return a.runValidate(cmd.Context(), files, strict)
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "warnings are problems too")
	return cmd
}

// checked is a file and what is wrong with it.
type checked struct {
	file, what string // what it is: empty for a manifest
	problems   config.Problems
}

func (a *app) runValidate(ctx context.Context, files []string, strict bool) error {
	var all []checked
	for _, file := range files {
		c, err := a.check(ctx, file)
		if errors.Is(err, fs.ErrNotExist) && file == a.manifest {
			return a.noManifest(err)
		}
		if err != nil {
			return err
		}
		for i := range c.problems {
			p := &c.problems[i]
			p.File = fromHere(file, p.File)
			p.Warning = p.Warning && !strict
		}
		all = append(all, c)
	}
	if err := a.showFindings(all); err != nil {
		return err
	}
	errs, warnings := 0, 0
	for _, c := range all {
		errs += len(c.problems.Errors())
		warnings += len(c.problems.Warnings())
	}
	if errs == 0 {
		return nil
	}
	text := count(errs, "problem")
	if warnings > 0 {
		text += ", " + count(warnings, "warning")
	}
	return &exitError{code: ExitProblems, err: errors.New(text)}
}

// check is what serve would find wrong with a manifest, or what is wrong with another file of a set taken alone.
func (a *app) check(ctx context.Context, file string) (checked, error) {
	data, err := readFile(file, config.MaxFileBytes)
	if err != nil {
		return checked{}, fmt.Errorf("%s: %w", file, plainCause(err))
	}
	top := config.OutlineOf(data)
	if file != a.manifest && top.Blank {
		return checkPolicies(file, data), nil // only there may be nothing
	}
	switch kindOf(top) {
	case policyFile:
		return checkPolicies(file, data), nil
	case tokenFile:
		return checkTokens(file, data), nil
	case endpointFile:
		return checkEndpoints(file, data), nil
	case manifestFile: // with all that belongs to it
	}
	set, err := files.Through(ctx, new(files.Gate), func(at func(string)) (*config.Set, error) {
		return load.Load(file, load.Options{At: at})
	})
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		return checked{file: file, problems: problems}, nil
	case err != nil:
		return checked{}, err
	}
	return checked{file: file, problems: host.Check(set, a.registry)}, nil
}

// plainCause is an error of a file without its path, which the caller names.
func plainCause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

type fileKind int

const (
	manifestFile fileKind = iota
	policyFile
	tokenFile
	endpointFile
)

// kindOf tells by its top level what a file is. What cannot be told is checked as a manifest.
func kindOf(top config.Outline) fileKind {
	switch {
	case top.Rules:
		return policyFile // without its key, which is told
	case top.List:
		return tokenFile
	case slices.Contains(top.Keys, "services"):
		return manifestFile
	case slices.Contains(top.Keys, "rules"):
		return policyFile
	case slices.Contains(top.Keys, "endpoints"):
		return endpointFile
	}
	return manifestFile
}

// anyHost is the manifest that a file is checked with which is taken alone: of it nothing is known, so that nothing is to
// be wrong with the file because of it. Its callers may have names.
const anyHost = "services: []\nauth: {identify: [token], tokens: {file: tokens.yaml}}\n"

// checkPolicies finds what is wrong with the rules of one file, whatever the host that they are for.
func checkPolicies(file string, data []byte) checked {
	rules, problems := config.DecodeRules(file, data, os.LookupEnv)
	problems = problems.With(checkAlone(file, &config.Set{Rules: rules}))
	if problems.Err() == nil {
		problems = problems.With(append(policies.ValidateTies(rules), policies.ValidatePointless(rules)...))
	}
	return checked{file, "a policy file, checked without its host", problems}
}

// checkTokens finds what is wrong with a file of tokens.
func checkTokens(file string, data []byte) checked {
	tokens, problems := config.DecodeTokens(file, data, os.LookupEnv)
	return checked{file, "a file of tokens", problems.With(checkAlone(file, &config.Set{Tokens: tokens}))}
}

// checkEndpoints finds what is wrong with a file of endpoints.
func checkEndpoints(file string, data []byte) checked {
	_, problems := config.DecodeEndpoints(file, data, os.LookupEnv)
	return checked{file, "a file of endpoints", problems}
}

// checkAlone finds what is wrong with a set that is one file.
func checkAlone(file string, set *config.Set) config.Problems {
	set.Manifest, _ = config.DecodeManifest("", []byte(anyHost), nil)
	var found config.Problems
	for _, p := range set.Validate() {
		if p.File == file {
			found = append(found, p)
		}
	}
	return found
}

// fromHere is the path of a file that belongs to a manifest, from the current folder when it is below it. Flags and
// variables stay as they are named.
func fromHere(manifest, file string) string {
	if file == "" || strings.HasPrefix(file, "-") || strings.HasPrefix(file, "EASYMICRO_") || file == manifest {
		return relative(file)
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(filepath.Dir(manifest), file)
	}
	return relative(file)
}

func relative(file string) string {
	if !filepath.IsAbs(file) {
		return file
	}
	here, err := os.Getwd()
	if err != nil {
		return file
	}
	if rel, err := filepath.Rel(here, file); err == nil && filepath.IsLocal(rel) {
		return rel
	}
	return file
}

// showFindings prints what validate found, in the form that was asked for.
func (a *app) showFindings(all []checked) error {
	switch a.output {
	case outputJSON:
		list := config.Problems{}
		for _, c := range all {
			list = append(list, c.problems...)
		}
		return a.json(list)
	case outputGithub:
		for _, c := range all {
			for _, p := range c.problems {
				a.line("%s", annotation(p))
			}
		}
		return nil
	}
	for _, c := range all {
		a.findingsText(c)
	}
	return nil
}

func (a *app) findingsText(c checked) {
	for _, p := range c.problems {
		if p.Warning {
			a.line("%s %s", a.paint(yellow, "warning:"), p)
		} else {
			a.line("%s", p)
		}
	}
	if c.problems.Err() != nil {
		return
	}
	text := a.paint(green, "no problems")
	if n := len(c.problems); n > 0 {
		text += ", " + count(n, "warning")
	}
	if c.what != "" {
		text += " (" + c.what + ")"
	}
	a.line("%s: %s", c.file, text)
}

// annotation is a problem as a workflow command of GitHub, which shows it at its place in a pull request.
func annotation(p config.Problem) string {
	level := "error"
	if p.Warning {
		level = "warning"
	}
	place := ""
	if p.Line > 0 {
		property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
		place = fmt.Sprintf(" file=%s,line=%d,col=%d", property.Replace(filepath.ToSlash(p.File)), p.Line, max(p.Column, 1))
		p.File = ""
	}
	return "::" + level + place + "::" + strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(p.String())
}
