package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
)

// throughEtcd is the way to one of the hosts that etcd knows for the service.
func (c *call) throughEtcd(ctx context.Context) (*way, error) {
	cluster, err := c.etcd.open(ctx)
	if err != nil {
		return nil, err
	}
	names, lacking := servicesIn(ctx, cluster)
	service, err := pickName(names, c.service)
	if err != nil {
		_ = cluster.Close()
		if lacking != nil {
			return nil, c.etcd.away(lacking, etcdPatience)
		}
		return nil, err
	}
	w := &way{address: "the endpoints of " + service}
	calls, err := client.New(client.Options{
		Resolver: cluster, OnAttempt: func(_ context.Context, endpoint string, _ error) { w.address = endpoint },
	})
	if err != nil {
		_ = cluster.Close()
		return nil, err
	}
	w.send = func(ctx context.Context, req, res *wire.Frame) error {
		req.Service = service
		return calls.Handle(ctx, req, res)
	}
	w.close = func() {
		_ = calls.Close()
		_ = cluster.Close()
	}
	return w, nil
}

// firstOrEtcd completes the first argument by what the running host says, or by the services that etcd knows; of a
// method, up to its name.
func (a *app) firstOrEtcd(f *etcdFlags, method bool, names namer) completer {
	fromHost := a.first(names)
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if given, err := f.given(cmd); err != nil || !given || len(args) > 0 {
			return fromHost(cmd, args, word)
		}
		const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		cluster, err := f.open(ctx)
		if err != nil {
			return nil, directive
		}
		defer cluster.Close()
		services, _ := servicesIn(ctx, cluster)
		for i := range services {
			if method {
				services[i] += separator(word)
			}
		}
		return services, directive
	}
}
