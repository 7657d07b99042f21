package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
)

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
