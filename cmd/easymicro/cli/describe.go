package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

// describeCommand shows one service or method.
type describeCommand struct {
	*app
	etcd etcdFlags
}

func newDescribe(a *app) *cobra.Command {
	c := &describeCommand{app: a}
	cmd := &cobra.Command{
		Use:   "describe SERVICE[.METHOD]",
		Short: "Show a service or method of a running host with an example call, or a service in etcd",
		Example: `  easymicro describe Arith
  easymicro describe Arith.Mul
  easymicro describe Arith --etcd http://127.0.0.1:2379`,
		Args:              argRange(1, 1, "one argument: SERVICE or SERVICE.METHOD"),
		ValidArgsFunction: firstArgumentOrEtcd(a, &c.etcd, false, serviceWords),
		RunE:              c.run,
	}
	c.etcd.add(cmd, etcdInstead)
	return cmd
}

func (c *describeCommand) run(cmd *cobra.Command, args []string) error {
	ctx, name := cmd.Context(), args[0]
	if given, err := c.etcd.given(cmd); err != nil {
		return err
	} else if given {
		return c.describeEtcd(ctx, name)
	}
	host, err := newHostClient(c.app)
	if err != nil {
		return err
	}
	services, err := host.services(ctx)
	if err != nil {
		return err
	}
	service, err := pick(services, name)
	if err != nil {
		return servedElsewhere(host.discovered(ctx), name, err)
	}
	return c.print(service, func() { c.text(service) })
}

func (c *describeCommand) text(s *admin.Service) {
	state := c.paint(green, "ready")
	if !s.Ready {
		state = c.paint(red, "NOT READY")
	}
	c.line("%s   %s   handler %s (%s)", c.paint(bold, s.Name), state, s.Handler, s.Package)
	if len(s.Aliases) > 0 {
		c.line("also as %s", strings.Join(s.Aliases, ", "))
	}
	if len(s.Around) > 0 {
		c.line("around %s", strings.Join(s.Around, ", "))
	}
	for _, m := range s.Methods {
		c.line("")
		c.line("%s", c.paint(bold, s.Name+"."+m.Name))
		c.line("  argument   %s", shapeText(&m.Args, 0))
		c.line("  reply      %s", shapeText(&m.Reply, 0))
		for _, r := range m.Routes {
			c.line("  http       %s %s", strings.Join(r.Methods, ","), r.Path)
		}
		c.line("  try        %s", m.Example.Command)
		if m.Example.Curl != "" {
			c.line("             %s", m.Example.Curl)
		}
	}
	for _, skipped := range s.Skipped {
		c.line("not served: %s: %s", skipped.Name, skipped.Why)
	}
}

// describeEtcd shows a service in etcd.
func (c *describeCommand) describeEtcd(ctx context.Context, name string) error {
	services, listErr := c.etcd.services(ctx)
	if listErr != nil && len(services) == 0 {
		return listErr
	}
	names := make([]string, len(services))
	for i := range services {
		names[i] = services[i].Name
	}
	found, err := pickService(names, name)
	if err != nil {
		return cmp.Or(listErr, err)
	}
	service := services[slices.Index(names, found)]
	if err := c.print(service, func() {
		c.line("%s   %s", c.paint(bold, service.Name), count(len(service.Endpoints), "endpoint"))
		rows := endpointRows([]etcdService{service})
		for i := range rows {
			rows[i] = rows[i][1:]
		}
		c.titled(rows)
		c.line("etcd does not list methods; ask a host: easymicro describe %s --admin ADDRESS", service.Name)
	}); err != nil {
		return err
	}
	return listErr
}

// pick finds a service by its name or an alias, or, for SERVICE.METHOD, returns the service with only that method.
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

// servedElsewhere extends the error for a service that the host does not serve: it names where discovery has found it.
func servedElsewhere(discovered []admin.Discovered, name string, err error) error {
	service, _, ok := admin.SplitMethod(name)
	if !ok {
		service = name
	}
	var names []string
	for _, s := range discovered {
		if strings.EqualFold(s.Service, service) || strings.EqualFold(s.Service, name) {
			return &exitError{code: ExitAnswered, err: fmt.Errorf("the host does not serve %s itself, but has found it in etcd: "+
				"list its hosts, which know its methods, with easymicro describe %s --etcd URL", s.Service, s.Service)}
		}
		names = append(names, s.Service)
	}
	if hint := cmp.Or(didYouMean(name, names), didYouMean(service, names)); hint != "" && !strings.Contains(err.Error(), "did you mean") {
		return &exitError{code: ExitAnswered, err: fmt.Errorf("%w%s", err, hint)}
	}
	return err
}

// pickService returns the service that name, a service or SERVICE.METHOD, refers to. Service names may contain dots.
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
