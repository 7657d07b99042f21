package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

// listCommand lists the services of a host, or those in etcd.
type listCommand struct {
	*app
	etcd etcdFlags
}

// etcdInstead describes --etcd for commands that otherwise ask a host.
const etcdInstead = "look in etcd instead of asking a host: comma-separated `URL`s of its servers"

func newList(a *app) *cobra.Command {
	c := &listCommand{app: a}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the services and methods of a running host, or the services in etcd",
		Example: `  easymicro list
  easymicro list -o json | jq '.[].methods[].name'
  easymicro list --etcd http://127.0.0.1:2379`,
		Args: noArgs,
		RunE: c.run,
	}
	c.etcd.add(cmd, etcdInstead)
	return cmd
}

func (c *listCommand) run(cmd *cobra.Command, _ []string) error {
	if given, err := c.etcd.given(cmd); err != nil {
		return err
	} else if given {
		return c.listEtcd(cmd.Context())
	}
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	services, err := host.services(cmd.Context())
	if err != nil {
		return err
	}
	return c.print(services, func() {
		if len(services) == 0 {
			c.line("%s", noServices(host.discovered(cmd.Context())))
		}
		rows := [][]string{{"METHOD", "ARGUMENT", "REPLY", "HANDLER"}}
		if slices.ContainsFunc(services, func(s admin.Service) bool { return len(s.Aliases) > 0 }) {
			rows[0] = append(rows[0], "ALSO AS")
		}
		for _, s := range services {
			for _, m := range s.Methods {
				rows = append(rows, []string{s.Name + "." + m.Name, shapeText(&m.Args, 0), shapeText(&m.Reply, 0), s.Handler, alsoAs(&s, m.Name)})
			}
		}
		c.titled(rows)
	})
}

// listEtcd shows all services in etcd.
func (c *listCommand) listEtcd(ctx context.Context) error {
	services, listErr := c.etcd.services(ctx)
	if listErr != nil && len(services) == 0 {
		return listErr
	}
	if err := c.print(services, func() {
		if len(services) == 0 {
			c.line("no services under this prefix in etcd; easymicro list without --etcd asks a host")
		}
		c.titled(endpointRows(services))
	}); err != nil {
		return err
	}
	return listErr
}

// alsoAs returns the names of a method under the aliases of its service.
func alsoAs(s *admin.Service, method string) string {
	names := make([]string, len(s.Aliases))
	for i, alias := range s.Aliases {
		names[i] = alias + "." + method
	}
	return strings.Join(names, ", ")
}

// noServices returns the text for a host without services, which may be a gateway to the services of others.
func noServices(discovered []admin.Discovered) string {
	var names []string
	for _, s := range discovered {
		names = append(names, s.Service)
	}
	if len(names) == 0 {
		return "the host has no services of its own; for those behind a gateway: easymicro list --etcd URL"
	}
	slices.Sort(names)
	return "the host has no services of its own; it has found in etcd: " + few(slices.Compact(names), 20) +
		"; for their endpoints: easymicro list --etcd URL"
}
