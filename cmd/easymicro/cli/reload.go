package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

func (a *app) reload() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Let the running host read its files again",
		Long: `reload does what saving a file does, for file systems that tell of no changes, and says what came of it. It exits with 3
when the files have problems; what runs is then untouched.`,
		Example: `  easymicro reload
  easymicro reload --force`,
		Args: noArgs,
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
	cmd.Flags().BoolVar(&force, "force", false, "apply the files even if nothing changed")
	return cmd
}

// reloadError tells files that are wrong from a host that did not do what it was asked.
func (a *app) reloadError(err error) error {
	var answered *admin.Error
	if !errors.As(err, &answered) || answered.Code != admin.CodeRejected {
		return a.hostError(err)
	}
	return &exitError{ExitProblems, answered, problemsOf(answered.Problems)}
}

func (a *app) revisionText(r *admin.Revision) {
	if r.Result != "applied" {
		a.line("r%d stays: nothing changed", r.Revision)
	} else {
		took := time.Duration(r.Took * float64(time.Second))
		a.line("%s", a.appliedText(r.Revision, took, changesOf(r.Changes)))
	}
	for _, w := range r.Warnings {
		a.line("%s", a.warningText(config.Problem(w)))
	}
}

// appliedText is the one line that tells of an edit that is in force.
func (a *app) appliedText(revision int, took time.Duration, changes config.Changes) string {
	what := changes.String()
	if what == "" {
		what = "nothing changed in meaning"
	}
	unit := time.Millisecond
	if took < unit {
		unit = 10 * time.Microsecond // or a small edit would take 0s
	}
	return fmt.Sprintf("%s in %s: %s", a.paint(green, fmt.Sprintf("r%d applied", revision)), took.Round(unit), what)
}

func (a *app) warningText(p config.Problem) string {
	return a.paint(yellow, "warning:") + " " + p.String()
}

// changesOf are the changes that an answer of the admin API tells of.
func changesOf(list []admin.Change) config.Changes {
	changes := make(config.Changes, len(list))
	for i, c := range list {
		file, line := c.Position, 0
		if at := strings.LastIndexByte(file, ':'); at >= 0 {
			if n, err := strconv.Atoi(file[at+1:]); err == nil {
				file, line = file[:at], n
			}
		}
		changes[i] = config.Change{
			Subject: c.Subject, Path: c.Path, Old: c.Old, New: c.New, Text: c.Text, Class: config.Class(c.Class),
			Position: config.Position{File: file, Line: line},
		}
	}
	return changes
}
