package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

// drainCommand takes a running host out of service, or back.
type drainCommand struct {
	*app
	ask  func(ctx context.Context, host *hostClient) (*admin.DrainState, error)
	text func(s *admin.DrainState)
}

func newDrain(a *app) *cobra.Command {
	c := &drainCommand{app: a, ask: func(ctx context.Context, host *hostClient) (*admin.DrainState, error) { return host.Drain(ctx) }}
	c.text = c.drained
	return &cobra.Command{
		Use:   "drain",
		Short: "Take a running host out of service without ending it",
		Long: `drain takes a running host out of service: /readyz fails and its services are withdrawn from discovery, but calls are
still served. Edits are applied, and do not publish the host. It stays drained until "easymicro undrain" or the end of the
process; the next process is in service. To end a host, send SIGTERM.`,
		Example: `  easymicro drain
  easymicro drain -o json`,
		Args: noArgs,
		RunE: c.run,
	}
}

func newUndrain(a *app) *cobra.Command {
	c := &drainCommand{app: a, ask: func(ctx context.Context, host *hostClient) (*admin.DrainState, error) { return host.Undrain(ctx) }}
	c.text = c.undrained
	return &cobra.Command{
		Use:   "undrain",
		Short: "Take a drained host into service again",
		Long:  `undrain undoes "easymicro drain": the host publishes its services again, and is ready.`,
		Example: `  easymicro undrain
  easymicro undrain -o json`,
		Args: noArgs,
		RunE: c.run,
	}
}

func (c *drainCommand) run(cmd *cobra.Command, _ []string) error {
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	s, err := c.ask(cmd.Context(), host)
	if err != nil {
		return host.failed(err)
	}
	return c.print(s, func() { c.text(s) })
}

func (c *drainCommand) drained(s *admin.DrainState) {
	if s.Changed {
		c.line("%s: not ready and withdrawn from discovery, still serving", c.paint(yellow, "drained"))
	} else {
		c.line("already drained, %s by %s", ago(s.Drained.Since), s.Drained.Who)
	}
	for _, w := range s.Warnings {
		c.line("%s %s", c.paint(yellow, "warning:"), w)
	}
}

func (c *drainCommand) undrained(s *admin.DrainState) {
	if s.Changed {
		c.line("%s: published in discovery again", c.paint(green, "in service"))
	} else {
		c.line("the host is not drained: nothing changed")
	}
}
