package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

// reloadCommand makes the running host read its files again.
type reloadCommand struct {
	*app
	force bool
}

func newReload(a *app) *cobra.Command {
	c := &reloadCommand{app: a}
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Reload the configuration of a running host",
		Long: `reload does what saving a file does, for file systems without change notification (NFS, some bind mounts), and prints the
result. It exits with 3 if the files have problems; the running configuration is then kept.`,
		Example: `  easymicro reload
  easymicro reload --force`,
		Args: noArgs,
		RunE: c.run,
	}
	cmd.Flags().BoolVar(&c.force, "force", false, "apply the files even if they have not changed")
	return cmd
}

func (c *reloadCommand) run(cmd *cobra.Command, _ []string) error {
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	r, err := host.Reload(cmd.Context(), c.force)
	if err != nil {
		return reloadError(host, err)
	}
	return c.print(r, func() { c.text(r) })
}

// reloadError adds the exit code to an error of a reload. Problems of the files have their own.
func reloadError(host *hostClient, err error) error {
	if answered, ok := errors.AsType[*admin.Error](err); ok {
		switch answered.Code {
		case admin.CodeRejected:
			return &exitError{ExitProblems, answered, answered.Problems}
		case admin.CodeForecast:
			return &exitError{ExitFailed, answered, answered.Problems}
		}
	}
	return host.failed(err)
}

func (c *reloadCommand) text(r *admin.Attempt) {
	if r.Result != admin.ResultApplied {
		c.line("r%d keeps running: nothing changed", r.Number)
	} else {
		c.line("%s", appliedText(&c.printer, r))
	}
	forecastText(&c.printer, r.Forecast)
	for _, w := range r.Warnings {
		c.line("%s", warningText(&c.printer, w))
	}
}

// appliedText returns the line about an edit that was applied.
func appliedText(p *printer, r *admin.Attempt) string {
	what := r.Changes.String()
	switch {
	case what != "":
		what = ": " + what
	case r.Source != admin.SourceOverride: // the commands name an override that changes no rule, such as that of a breaker
		what = ": no effective change"
	}
	took, unit := time.Duration(r.Took), time.Millisecond
	if took < unit {
		unit = 10 * time.Microsecond // so that a small edit does not show 0s
	}
	return fmt.Sprintf("%s in %s%s", p.paint(green, fmt.Sprintf("r%d applied", r.Number)), took.Round(unit), what)
}

func warningText(p *printer, w config.Problem) string {
	return p.paint(yellow, "warning:") + " " + w.String()
}

// fallbackText names the files to fix while a fallback is in use.
func fallbackText(p *printer, s *admin.Fallback) {
	if s != nil {
		p.line("%s the %s is in use because of invalid files: fix %s", p.paint(yellow, "warning:"), s.What, strings.Join(s.Mend, ", "))
	}
}
