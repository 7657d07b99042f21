package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

func (a *app) reload() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Let the running host read its files again",
		Long: `reload does what saving a file does, for file systems that tell of no changes, and tells what came of it. It exits with 3
when the files have problems; what runs is then untouched.`,
		Example: `  easymicro reload`,
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			r, err := c.Reload(cmd.Context(), force)
			if err != nil {
				return a.reloadError(err)
			}
			return a.print(r, func() { a.revisionText(r) })
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "apply files that did not change too, and at once those that lose many rules")
	return cmd
}

func (a *app) reloadError(err error) error {
	var answered *admin.Error
	if !errors.As(err, &answered) || len(answered.Problems) == 0 {
		return hostError(err)
	}
	if a.output == outputJSON {
		if err := a.json(answered); err != nil {
			return err
		}
		return &exitError{code: ExitProblems}
	}
	for _, p := range answered.Problems {
		a.line("%s", problemText(p))
	}
	return &exitError{ExitProblems, errors.New(answered.Detail)}
}

func (a *app) revisionText(r *admin.Revision) {
	a.line("r%d %s", r.Revision, r.Result)
	for _, c := range r.Changes {
		a.line("  %s: %s (%s)", c.Subject, c.Text, c.Position)
	}
	for _, w := range r.Warnings {
		a.line("warning: %s", problemText(w))
	}
}
