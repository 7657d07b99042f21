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
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/policies"
)

// validateCommand checks files without starting anything.
type validateCommand struct {
	*app
	strict  bool
	explain string
}

func newValidate(a *app) *cobra.Command {
	c := &validateCommand{app: a}
	cmd := &cobra.Command{
		Use:   "validate [FILES…]",
		Short: "Check manifests and their policy files without starting anything",
		Long: `validate reads manifests (default: that of -c) and every file they name, with the same code as serve, and prints all problems
with their locations. It also checks a policy file, or a file of tokens, endpoints or policy tests, on its own; whether its rules
match the services of a host is then not checked.

It exits with 3 if there are problems. --strict turns warnings into problems. -o github prints annotations for a pull
request, -o sarif a log for code scanning (SARIF 2.1.0); both with paths relative to the current directory.

Each problem ends in its code, as in [EM304]; --explain prints what a code is about and how to fix it. A comment on its
line, or alone on the line before, suppresses a warning until a date:

  # easymicro: ignore EM304 until 2027-01-01 because the upstream is slow`,
		Example: `  easymicro validate samples/quickstart/easymicro.yaml
  easymicro validate --strict -o github
  easymicro validate policies.d/*.yaml
  easymicro validate --explain EM304`,
		ValidArgsFunction: completeManifests,
		RunE:              c.run,
	}
	cmd.Flags().BoolVar(&c.strict, "strict", false, "treat warnings as problems")
	cmd.Flags().StringVar(&c.explain, "explain", "", "explain this `CODE` instead; all lists the codes")
	_ = cmd.RegisterFlagCompletionFunc("explain", fixed(codeWords()...))
	return cmd
}

func (c *validateCommand) run(cmd *cobra.Command, files []string) error {
	if cmd.Flags().Changed("explain") {
		return c.explained(files)
	}
	if len(files) == 0 {
		files = []string{c.manifest}
	}
	var all []checked
	for _, file := range files {
		found, err := c.check(cmd.Context(), file)
		if errors.Is(err, fs.ErrNotExist) {
			return noManifest(c.app, err)
		}
		if err != nil {
			return err
		}
		for i := range found.problems {
			p := &found.problems[i]
			p.File = fromHere(file, p.File)
			p.Warning = p.Warning && !c.strict
		}
		for i := range found.ignored {
			found.ignored[i].File = fromHere(file, found.ignored[i].File)
		}
		all = append(all, found)
	}
	if err := c.show(all); err != nil {
		return err
	}
	errs, warnings := 0, 0
	for _, found := range all {
		errs += len(found.problems.Errors())
		warnings += len(found.problems.Warnings())
	}
	if errs == 0 {
		return nil
	}
	text := count(errs, "problem")
	if warnings > 0 {
		text += ", " + count(warnings, "warning")
	}
	if n := len(ignoredOf(all)); n > 0 {
		text += ", " + count(n, "warning") + " ignored"
	}
	return &exitError{code: ExitProblems, err: errors.New(text)}
}

// explained prints the page of a code, or the list of all codes.
func (c *validateCommand) explained(files []string) error {
	switch {
	case len(files) > 0:
		return usageError("--explain takes no files")
	case c.explain == "all":
		return c.print(lint.Pages(), func() {
			rows := [][]string{{"CODE", "KIND", "TITLE"}}
			for _, p := range lint.Pages() {
				rows = append(rows, []string{string(p.Code), p.Kind(), p.Title})
			}
			c.titled(rows)
		})
	}
	page, ok := lint.PageOf(lint.Code(strings.ToUpper(c.explain)))
	if !ok {
		return usageError("--explain: unknown code %q%s; --explain all lists the codes", c.explain, didYouMean(strings.ToUpper(c.explain), codeWords()))
	}
	return c.print(page, func() { c.line("%s", strings.TrimRight(page.Plain(), "\n")) })
}

func codeWords() []string { return append([]string{"all"}, lint.Codes()...) }

// checked is a file with its problems.
type checked struct {
	file, what string // kind of file: empty for a manifest
	problems   config.Problems
	ignored    []config.Ignored
}

// without takes out the problems that comments in these files ignore.
func (c checked) without(texts map[string][]byte) checked {
	c.problems, c.ignored = config.IgnoresIn(texts).Of(c.problems, time.Now())
	return c
}

// together returns the problems of all files.
func together(all []checked) config.Problems {
	list := config.Problems{}
	for i := range all {
		list = append(list, all[i].problems...)
	}
	return list
}

// ignoredOf returns the warnings of all files that comments ignore.
func ignoredOf(all []checked) (list []config.Ignored) {
	for i := range all {
		list = append(list, all[i].ignored...)
	}
	return list
}

// check returns the problems that serve would find in a manifest, or those of any other file checked on its own.
func (c *validateCommand) check(ctx context.Context, file string) (checked, error) {
	if err := notDirectory(file); err != nil {
		return checked{}, err
	}
	data, err := readFile(file, config.MaxFileBytes)
	if errors.Is(err, fs.ErrNotExist) && file == c.manifest {
		return checked{}, err
	}
	if err != nil {
		return checked{file: file, problems: config.Problems{unreadable(file, err)}}, nil
	}
	top := config.OutlineOf(data)
	if file != c.manifest && top.Blank {
		return checkPolicies(file, data), nil // of these files, only those with rules may be empty
	}
	switch kindOf(top) {
	case policyFile:
		return checkPolicies(file, data), nil
	case tokenFile:
		return checkTokens(file, data), nil
	case adminTokenFile:
		return checkAdminTokens(file, data), nil
	case endpointFile:
		return checkEndpoints(file, data), nil
	case policyTestFile:
		_, problems := config.DecodePolicyTest(file, data, os.LookupEnv)
		return alone(file, data, "policy tests, checked without their rules", problems), nil
	case manifestFile: // with all that belongs to it
	}
	set, err := files.Through(ctx, new(files.Gate), func(at func(string)) (*config.Set, error) {
		return load.Load(file, load.Options{At: at})
	})
	if failed, ok := errors.AsType[*load.Error](err); ok {
		return checked{file: file, problems: failed.Problems}.without(failed.Texts), nil
	}
	if err != nil {
		return checked{}, err
	}
	return checked{file: file, problems: host.Check(set, c.registry)}.without(set.TextsByPath()), nil
}

// show prints the problems of all files in the output format.
func (c *validateCommand) show(all []checked) error {
	switch c.format {
	case formatJSON:
		return writeJSON(c.out, together(all), "  ")
	case formatSARIF:
		return writeJSON(c.out, newSARIF(version(), together(all), ignoredOf(all)), "  ")
	case formatGitHub:
		for _, p := range together(all) {
			c.line("%s", annotation(p))
		}
		return nil
	}
	for _, found := range all {
		c.text(found)
	}
	return nil
}

func (c *validateCommand) text(found checked) {
	for _, p := range found.problems {
		if p.Warning {
			c.line("%s %s", c.paint(yellow, "warning:"), p.Text())
		} else {
			c.line("%s", p.Text())
		}
	}
	if found.problems.Err() != nil {
		return
	}
	text := c.paint(green, "no problems")
	if n := len(found.problems); n > 0 {
		text += ", " + count(n, "warning")
	}
	if n := len(found.ignored); n > 0 {
		text += ", " + count(n, "warning") + " ignored"
	}
	if found.what != "" {
		text += " (" + found.what + ")"
	}
	c.line("%s: %s", found.file, text)
}

type fileKind int

const (
	manifestFile fileKind = iota
	policyFile
	tokenFile
	adminTokenFile
	endpointFile
	policyTestFile
)

// kindOf recognizes a file by its top-level keys. An unrecognized one is checked as a manifest.
func kindOf(top config.Outline) fileKind {
	switch {
	case top.Rules:
		return policyFile // without its key rules, which is a problem
	case top.Admin:
		return adminTokenFile
	case top.List:
		return tokenFile
	case slices.Contains(top.Keys, "services"):
		return manifestFile
	case slices.Contains(top.Keys, "rules"):
		return policyFile
	case slices.Contains(top.Keys, "endpoints"):
		return endpointFile
	case slices.Contains(top.Keys, "cases"):
		return policyTestFile
	}
	return manifestFile
}

// anyHost is the manifest used to check a file on its own. It allows rules to name callers.
const anyHost = "services: []\nauth: {identify: [token], tokens: {file: tokens.yaml}}\n"

// alone returns a file that was checked without a host.
func alone(file string, data []byte, what string, problems config.Problems) checked {
	return checked{file: file, what: what, problems: problems}.without(map[string][]byte{file: data})
}

// checkPolicies returns the problems of a policy file, whatever its host.
func checkPolicies(file string, data []byte) checked {
	rules, problems := config.DecodeRules(file, data, os.LookupEnv)
	problems = problems.With(checkAlone(file, data, &config.Set{Rules: rules}))
	if problems.Err() == nil {
		problems = problems.With(append(policies.ValidateTies(rules), policies.ValidatePointless(rules)...))
	}
	return alone(file, data, "policy file, checked without its host", problems)
}

// checkTokens returns the problems of a file of tokens.
func checkTokens(file string, data []byte) checked {
	tokens, problems := config.DecodeTokens(file, data, os.LookupEnv)
	return alone(file, data, "token file", problems.With(checkAlone(file, data, &config.Set{Tokens: tokens})))
}

// checkAdminTokens returns the problems of a file of admin tokens.
func checkAdminTokens(file string, data []byte) checked {
	tokens, problems := config.DecodeAdminTokens(file, data, os.LookupEnv)
	return alone(file, data, "admin token file", problems.With(checkAlone(file, data, &config.Set{Operators: tokens})))
}

// checkEndpoints returns the problems of a file of endpoints.
func checkEndpoints(file string, data []byte) checked {
	_, problems := config.DecodeEndpoints(file, data, os.LookupEnv)
	return alone(file, data, "endpoint file", problems)
}

// checkAlone returns the problems of a set that consists of one file.
func checkAlone(file string, data []byte, set *config.Set) config.Problems {
	const hash = "alone"
	set.Files, set.Texts = []config.File{{Path: file, Hash: hash}}, map[string][]byte{hash: data}
	set.Manifest, _ = config.DecodeManifest("", []byte(anyHost), nil)
	var found config.Problems
	for _, p := range set.Validate() {
		if p.File == file {
			found = append(found, p)
		}
	}
	return found
}

// fromHere returns the path of a file named in a manifest, relative to the current directory if below it. Names of flags
// and variables are returned unchanged.
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

// annotation formats a problem as a workflow command of GitHub, which shows it in the pull request.
func annotation(p config.Problem) string {
	level := "error"
	if p.Warning {
		level = "warning"
	}
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	var properties []string
	if p.Line > 0 {
		properties = append(properties, fmt.Sprintf("file=%s,line=%d,col=%d", property.Replace(filepath.ToSlash(p.File)), p.Line, max(p.Column, 1)))
		p.File = ""
	}
	if p.Code != "" {
		page, _ := lint.PageOf(p.Code)
		properties = append(properties, "title="+property.Replace(strings.TrimSpace(string(p.Code)+" "+page.Title)))
	}
	if len(properties) > 0 {
		level += " " + strings.Join(properties, ",")
	}
	return "::" + level + "::" + strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(p.String())
}
