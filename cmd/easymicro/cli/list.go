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

func (a *app) describe() *cobra.Command {
	var f etcdFlags
	cmd := &cobra.Command{
		Use:   "describe SERVICE[.METHOD]",
		Short: "A service or method of a running host, with an example call; or a service that etcd knows",
		Example: `  easymicro describe Arith
  easymicro describe Arith.Mul
  easymicro describe Arith --etcd http://127.0.0.1:2379`,
		Args:              oneArg("SERVICE or SERVICE.METHOD"),
		ValidArgsFunction: a.firstOrEtcd(&f, false, serviceWords),
		RunE: func(cmd *cobra.Command, args []string) error {
			if given, err := f.given(cmd); given || err != nil {
				if err != nil {
					return err
				}
				return a.describeEtcd(cmd, &f, args[0])
			}
			services, err := a.services(cmd)
			if err != nil {
				return err
			}
			service, err := pick(services, args[0])
			if err != nil {
				return a.servedElsewhere(cmd, args[0], err)
			}
			return a.print(service, func() { a.serviceText(service) })
		},
	}
	f.add(cmd, "`URL` of an etcd to ask in place of a host; several with commas")
	return cmd
}

// pick finds a service by its name or an alias, or one with only the method that was asked for.
func pick(services []admin.Service, name string) (*admin.Service, error) {
	meant := name
	service, method, ok := admin.SplitMethod(name)
	if ok {
		meant = service + "." + method
	}
	var known []string
	for i := range services {
		s := &services[i]
		for _, as := range namesOf(s) {
			known = append(known, as)
			if as == name {
				return s, nil
			}
			for _, m := range s.Methods {
				known = append(known, as+"."+m.Name)
				if as == service && m.Name == method {
					one := *s
					one.Methods = []admin.Method{m}
					return &one, nil
				}
			}
		}
	}
	return nil, &exitError{code: ExitAnswered, err: fmt.Errorf("the host does not serve %s%s", name, didYouMean(meant, known))}
}

// namesOf are all names that a service is served under.
func namesOf(s *admin.Service) []string { return append([]string{s.Name}, s.Aliases...) }

func (a *app) serviceText(s *admin.Service) {
	state := a.paint(green, "ready")
	if !s.Ready {
		state = a.paint(red, "NOT READY")
	}
	a.line("%s   %s   handler %s (%s)", a.paint(bold, s.Name), state, s.Handler, s.Package)
	if len(s.Aliases) > 0 {
		a.line("also as %s", strings.Join(s.Aliases, ", "))
	}
	for _, m := range s.Methods {
		a.line("")
		a.line("%s", a.paint(bold, s.Name+"."+m.Name))
		a.line("  argument   %s", shapeText(&m.Args, 0))
		a.line("  reply      %s", shapeText(&m.Reply, 0))
		for _, r := range m.Routes {
			a.line("  http       %s %s", strings.Join(r.Methods, ","), r.Path)
		}
		a.line("  try        %s", m.Example.Command)
		if m.Example.Curl != "" {
			a.line("             %s", m.Example.Curl)
		}
	}
	for _, skipped := range s.Skipped {
		a.line("not served: %s: %s", skipped.Name, skipped.Why)
	}
}
