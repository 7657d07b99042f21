package cli

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/discovery/etcd"
)

// etcdService is a service as etcd knows it.
type etcdService struct {
	Name      string         `json:"name"`
	Endpoints []etcdEndpoint `json:"endpoints"`
}

type etcdEndpoint struct {
	Address  string            `json:"address"`
	Network  string            `json:"network"`
	Host     string            `json:"host,omitempty"`
	Version  string            `json:"version,omitempty"`
	Layouts  []string          `json:"layouts"`
	Weight   int               `json:"weight,omitempty"`
	State    string            `json:"state"`
	Metadata map[string]string `json:"metadata,omitempty"`
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

// pickName finds a service by its exact name, or by the only one that differs in case alone.
func pickName(names []string, name string) (string, error) {
	if slices.Contains(names, name) {
		return name, nil
	}
	var alike []string
	for _, n := range names {
		if strings.EqualFold(n, name) {
			alike = append(alike, n)
		}
	}
	if len(alike) == 1 {
		return alike[0], nil
	}
	return "", &exitError{code: ExitAnswered, err: fmt.Errorf("etcd knows no service %s%s", name, didYouMean(name, names))}
}

// endpointRows are a table of endpoints. It has versions if one of them has: devel is none.
func endpointRows(services []etcdService) [][]string {
	versions := slices.ContainsFunc(services, func(s etcdService) bool {
		return slices.ContainsFunc(s.Endpoints, func(e etcdEndpoint) bool { return e.Version != "" && e.Version != "devel" })
	})
	rows := [][]string{{"SERVICE", "ENDPOINT", "HOST", "STATE", "METADATA"}}
	for _, s := range services {
		for _, e := range s.Endpoints {
			meta := url.Values{}
			for key, value := range e.Metadata {
				meta.Set(key, value)
			}
			rows = append(rows, []string{s.Name, e.Address, e.Host, e.State, meta.Encode()})
			if i := len(rows) - 1; versions {
				rows[i] = slices.Insert(rows[i], 4, e.Version)
			}
		}
	}
	if versions {
		rows[0] = slices.Insert(rows[0], 4, "VERSION")
	}
	return rows
}

// services asks etcd for all services and their endpoints. With an error they are those that are known.
func (f *etcdFlags) services(ctx context.Context) ([]etcdService, error) {
	c, err := f.open(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err = servicesIn(ctx, c); err != nil {
		err = f.away(err, etcdPatience)
	}
	return etcdServices(c.Status()), err
}

func etcdServices(s etcd.Status) []etcdService {
	list := []etcdService{}
	for _, name := range slices.Sorted(maps.Keys(s.Services)) {
		service := etcdService{Name: name}
		for _, e := range s.Services[name] {
			network := e.Network
			if network == "" {
				network = "tcp"
			}
			service.Endpoints = append(service.Endpoints, etcdEndpoint{
				Address: e.Address, Network: network, Host: e.Host, Version: e.Version, Layouts: e.Layouts,
				Weight: e.Weight, State: e.State, Metadata: e.Metadata,
			})
		}
		list = append(list, service)
	}
	return list
}
