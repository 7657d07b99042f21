package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
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
