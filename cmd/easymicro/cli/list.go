package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

func (a *app) list() *cobra.Command {
	var f etcdFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "The services and methods of a running host, or the services that etcd knows",
		Example: `  easymicro list
  easymicro list -o json | jq '.[].methods[].name'
  easymicro list --etcd http://127.0.0.1:2379`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if given, err := f.given(cmd); given || err != nil {
				if err != nil {
					return err
				}
				return a.listEtcd(cmd, &f)
			}
			services, err := a.services(cmd)
			if err != nil {
				return err
			}
			return a.print(services, func() {
				if len(services) == 0 {
					a.line("%s", a.noServices(cmd))
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
				a.titled(rows)
			})
		},
	}
	f.add(cmd, "`URL` of an etcd to ask in place of a host; several with commas")
	return cmd
}

// alsoAs are the other names of a method: those under the aliases of its service.
func alsoAs(s *admin.Service, method string) string {
	names := make([]string, len(s.Aliases))
	for i, alias := range s.Aliases {
		names[i] = alias + "." + method
	}
	return strings.Join(names, ", ")
}

func (a *app) services(cmd *cobra.Command) ([]admin.Service, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	services, err := c.Services(cmd.Context())
	return services, a.hostError(err)
}

// elsewhere are the services of other hosts that a host, such as a gateway, knows by discovery.
func (a *app) elsewhere(cmd *cobra.Command) []admin.Discovered {
	c, err := a.client()
	if err != nil {
		return nil
	}
	status, err := c.Status(cmd.Context())
	if err != nil {
		return nil
	}
	var list []admin.Discovered
	for i := range status.Discovery {
		list = append(list, status.Discovery[i].Services...)
	}
	return list
}

// noServices is what list says of a host without services: a gateway has those of others.
func (a *app) noServices(cmd *cobra.Command) string {
	const shown = 20
	var names []string
	for _, s := range a.elsewhere(cmd) {
		names = append(names, s.Service)
	}
	if len(names) == 0 {
		return "the host has no services of its own; easymicro list --etcd URL shows those that a gateway leads to"
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if more := len(names) - shown; more > 0 {
		names = append(names[:shown], fmt.Sprintf("%d more", more))
	}
	return "the host has no services of its own; in etcd it finds " + strings.Join(names, ", ") + ": easymicro list --etcd URL shows where they are"
}

// listEtcd shows all services that etcd knows.
func (a *app) listEtcd(cmd *cobra.Command, f *etcdFlags) error {
	services, lacking := f.services(cmd.Context())
	if lacking != nil && len(services) == 0 {
		return lacking
	}
	if err := a.print(services, func() {
		if len(services) == 0 {
			a.line("etcd has no services below the prefix; easymicro list without --etcd asks a host")
		}
		a.titled(endpointRows(services))
	}); err != nil {
		return err
	}
	return lacking
}
