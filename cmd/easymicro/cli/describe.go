package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

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

// servedElsewhere adds to the error about a service that the host does not serve, who does.
func (a *app) servedElsewhere(cmd *cobra.Command, name string, err error) error {
	service, _, ok := admin.SplitMethod(name)
	if !ok {
		service = name
	}
	var names []string
	for _, s := range a.elsewhere(cmd) {
		if strings.EqualFold(s.Service, service) || strings.EqualFold(s.Service, name) {
			return &exitError{code: ExitAnswered, err: fmt.Errorf("the host does not serve %s itself, but finds it in etcd: "+
				"easymicro describe %s --etcd URL shows its hosts, which alone know its methods", s.Service, s.Service)}
		}
		names = append(names, s.Service)
	}
	if hint := cmp.Or(didYouMean(name, names), didYouMean(service, names)); hint != "" && !strings.Contains(err.Error(), "did you mean") {
		return &exitError{code: ExitAnswered, err: fmt.Errorf("%w%s", err, hint)}
	}
	return err
}

// describeEtcd shows one of them.
func (a *app) describeEtcd(cmd *cobra.Command, f *etcdFlags, name string) error {
	services, lacking := f.services(cmd.Context())
	if lacking != nil && len(services) == 0 {
		return lacking
	}
	names := make([]string, len(services))
	for i := range services {
		names[i] = services[i].Name
	}
	found, err := pickService(names, name)
	if err != nil {
		return cmp.Or(lacking, err)
	}
	service := services[slices.Index(names, found)]
	if err := a.print(service, func() {
		a.line("%s   %s", a.paint(bold, service.Name), count(len(service.Endpoints), "endpoint"))
		rows := endpointRows([]etcdService{service})
		for i := range rows {
			rows[i] = rows[i][1:]
		}
		a.titled(rows)
		a.line("its methods are known to its hosts alone: easymicro describe %s --admin ADDRESS asks one", service.Name)
	}); err != nil {
		return err
	}
	return lacking
}

// pickService finds the service of a name, which may be that of a method, and may have dots of its own.
func pickService(names []string, name string) (string, error) {
	found, err := pickName(names, name)
	service, _, ok := admin.SplitMethod(name)
	if err == nil || !ok {
		return found, err
	}
	if of, e := pickName(names, service); e == nil || didYouMean(name, names) == "" {
		return of, e
	}
	return "", err
}
