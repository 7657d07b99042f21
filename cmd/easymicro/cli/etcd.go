package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/host/discovery/etcd"
)

// etcdTimeout bounds how long a command waits for etcd.
const etcdTimeout = 5 * time.Second

// etcdFlags are the flags of commands that look up services in etcd.
type etcdFlags struct {
	urls, layouts             []string
	prefix                    string
	caFile, certFile, keyFile string
	userFile, passwordFile    string
}

// add adds the flags to a command; usage describes --etcd.
func (f *etcdFlags) add(cmd *cobra.Command, usage string) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.urls, "etcd", nil, usage)
	flags.StringSliceVar(&f.layouts, "layouts", nil, "`LAYOUT` of the keys in etcd: easymicro, rpcx or easymicro,rpcx (default easymicro)")
	flags.StringVar(&f.prefix, "prefix", "", "`PREFIX` of the keys in etcd (default services/, or rpcx/ for the layout rpcx)")
	flags.StringVar(&f.userFile, "etcd-user-file", "", "`FILE` with the username for etcd")
	flags.StringVar(&f.passwordFile, "etcd-password-file", "", "`FILE` with the password for etcd")
	flags.StringVar(&f.caFile, "etcd-ca-file", "", "`FILE` with the CA certificate for etcd (PEM)")
	flags.StringVar(&f.certFile, "etcd-cert-file", "", "`FILE` with the client certificate for etcd (PEM)")
	flags.StringVar(&f.keyFile, "etcd-key-file", "", "`FILE` with the private key of the client certificate (PEM)")
	_ = cmd.RegisterFlagCompletionFunc("etcd", fixed("http://127.0.0.1:2379"))
	_ = cmd.RegisterFlagCompletionFunc("layouts", fixed("easymicro", "rpcx", "easymicro,rpcx"))
	_ = cmd.RegisterFlagCompletionFunc("prefix", cobra.NoFileCompletions)
}

// given reports whether --etcd was given, and checks the flags. The other flags need --etcd.
func (f *etcdFlags) given(cmd *cobra.Command) (bool, error) {
	if len(f.urls) > 0 {
		return true, f.check()
	}
	if cmd.Flags().Changed("etcd") {
		return false, usageError("--etcd is empty: pass URL[,URL], e.g. http://127.0.0.1:2379")
	}
	for _, name := range []string{"layouts", "prefix", "etcd-user-file", "etcd-password-file", "etcd-ca-file", "etcd-cert-file", "etcd-key-file"} {
		if cmd.Flags().Changed(name) {
			return false, usageError("--%s needs --etcd URL", name)
		}
	}
	return false, nil
}

// check checks the flags, and completes URLs without a scheme or port.
func (f *etcdFlags) check() error {
	if slices.ContainsFunc(f.urls, func(text string) bool { return strings.Contains(text, "@") }) {
		return errUserInURL // a password with a comma looks like two URLs
	}
	for i, text := range f.urls {
		if !strings.Contains(text, "://") {
			text = "http://" + text
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return usageError("--etcd: %q is not the URL of an etcd server, e.g. http://127.0.0.1:2379", f.urls[i])
		}
		if u.Port() == "" {
			u.Host = net.JoinHostPort(u.Hostname(), "2379")
		}
		f.urls[i] = u.Scheme + "://" + u.Host
	}
	known := []string{"easymicro", "rpcx"}
	for i, name := range f.layouts {
		switch {
		case !slices.Contains(known, name):
			return usageError("--layouts: %q is not one of %s%s", name, strings.Join(known, ", "), didYouMean(name, known))
		case slices.Contains(f.layouts[:i], name):
			return usageError("--layouts: %s is listed twice", name)
		}
	}
	if (f.certFile == "") != (f.keyFile == "") {
		return usageError("--etcd-cert-file and --etcd-key-file must be used together")
	}
	if (f.userFile == "") != (f.passwordFile == "") {
		return usageError("--etcd-user-file and --etcd-password-file must be used together")
	}
	return nil
}

// open connects to etcd and waits for an answer. The caller closes the cluster.
func (f *etcdFlags) open(ctx context.Context) (*etcd.Cluster, error) {
	o := etcd.Options{
		Name: "of --etcd", Endpoints: f.urls, Layouts: f.layouts, Prefix: f.prefix,
		AllowEndpoints: []string{etcd.KindLoopback, etcd.KindLinkLocal, etcd.KindUnix}, // show everything
	}
	var err error
	if o.TLS, err = f.tls(ctx); err != nil {
		return nil, err
	}
	if o.Username, err = readSecret(ctx, "--etcd-user-file", f.userFile); err != nil {
		return nil, err
	}
	if o.Password, err = readSecret(ctx, "--etcd-password-file", f.passwordFile); err != nil {
		return nil, err
	}
	c, err := etcd.New(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	begin := time.Now()
	if err := c.Ping(ctx); err != nil {
		_ = c.Close()
		return nil, f.unreachable(err, time.Since(begin))
	}
	return c, nil
}

// unreachable returns the error for an etcd that does not answer.
func (f *etcdFlags) unreachable(err error, after time.Duration) error {
	return &exitError{code: ExitUnreachable, err: fmt.Errorf("no answer from etcd at %s within %s: %w",
		strings.Join(f.urls, ", "), after.Round(100*time.Millisecond), err)}
}

func (f *etcdFlags) tls(ctx context.Context) (*tls.Config, error) {
	if f.caFile == "" && f.certFile == "" {
		return nil, nil //nolint:nilnil // TLS is optional
	}
	return (&tlsFiles{"--etcd-ca-file", f.caFile, "--etcd-cert-file", f.certFile, "--etcd-key-file", f.keyFile}).config(ctx)
}

// servicesIn returns the names of all services in etcd, and on an error those found so far.
func servicesIn(ctx context.Context, c *etcd.Cluster) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	err := c.Listed(ctx)
	return slices.Sorted(maps.Keys(c.Status().Services)), err
}

// etcdService is a service in etcd.
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

// pickName returns the service with this name, or else the only one whose name differs just in case.
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
	return "", &exitError{code: ExitAnswered, err: fmt.Errorf("service %s not found in etcd%s", name, didYouMean(name, names))}
}

// endpointRows returns a table of endpoints, with a version column unless every version is devel.
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

// services returns all services in etcd with their endpoints, and on an error those found so far.
func (f *etcdFlags) services(ctx context.Context) ([]etcdService, error) {
	c, err := f.open(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err = servicesIn(ctx, c); err != nil {
		err = f.unreachable(err, etcdTimeout)
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

// firstArgumentOrEtcd completes the first argument with words from the running host, or with --etcd, with the services in
// etcd; for a method, up to its separator.
func firstArgumentOrEtcd(a *app, f *etcdFlags, method bool, names namer) completer {
	fromHost := firstArgument(a, names)
	return func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if given, err := f.given(cmd); err != nil || !given || len(args) > 0 {
			return fromHost(cmd, args, word)
		}
		const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
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
