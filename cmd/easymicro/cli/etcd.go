package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/discovery/etcd"
)

// etcdPatience is how long a command waits for etcd.
const etcdPatience = 5 * time.Second

// etcdFlags say which etcd a command asks for services, and how their keys are laid out.
type etcdFlags struct {
	urls, layouts             []string
	prefix                    string
	caFile, certFile, keyFile string
	userFile, passwordFile    string
}

// add adds the flags to a command.
func (f *etcdFlags) add(cmd *cobra.Command, usage string) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.urls, "etcd", nil, usage)
	flags.StringSliceVar(&f.layouts, "layouts", nil, "easymicro, rpcx or easymicro,rpcx: the `LAYOUT` of the keys in etcd (default easymicro)")
	flags.StringVar(&f.prefix, "prefix", "", "`PREFIX` of the keys in etcd (default services/; rpcx/ for the layout rpcx)")
	flags.StringVar(&f.userFile, "etcd-user-file", "", "`FILE` with the name of the user of etcd")
	flags.StringVar(&f.passwordFile, "etcd-password-file", "", "`FILE` with the password of the user of etcd")
	flags.StringVar(&f.caFile, "etcd-ca-file", "", "`FILE` with the authority that signed the certificate of etcd")
	flags.StringVar(&f.certFile, "etcd-cert-file", "", "`FILE` with the certificate to show to etcd")
	flags.StringVar(&f.keyFile, "etcd-key-file", "", "`FILE` with the key of that certificate")
	_ = cmd.RegisterFlagCompletionFunc("etcd", fixed("http://127.0.0.1:2379"))
	_ = cmd.RegisterFlagCompletionFunc("layouts", fixed("easymicro", "rpcx", "easymicro,rpcx"))
	_ = cmd.RegisterFlagCompletionFunc("prefix", cobra.NoFileCompletions)
}

// given tells whether the command is to ask etcd. Flags about etcd are not taken without it.
func (f *etcdFlags) given(cmd *cobra.Command) (bool, error) {
	if len(f.urls) > 0 {
		return true, f.check()
	}
	if cmd.Flags().Changed("etcd") {
		return false, usageError("--etcd is empty: say URL[,URL], such as http://127.0.0.1:2379")
	}
	for _, name := range []string{"layouts", "prefix", "etcd-user-file", "etcd-password-file", "etcd-ca-file", "etcd-cert-file", "etcd-key-file"} {
		if cmd.Flags().Changed(name) {
			return false, usageError("--%s needs --etcd URL", name)
		}
	}
	return false, nil
}

var errUserInURL = usageError("--etcd: a user and a password do not belong into a URL: put them into files, and say --etcd-user-file and --etcd-password-file")

// check tells what is wrong with the flags, and gives URLs without a scheme one.
func (f *etcdFlags) check() error {
	if slices.ContainsFunc(f.urls, func(text string) bool { return strings.Contains(text, "@") }) {
		return errUserInURL // what stands there is a secret, of which a comma makes two URLs
	}
	for i, text := range f.urls {
		if !strings.Contains(text, "://") {
			text = "http://" + text
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return usageError("--etcd: %q is no URL of an etcd, such as http://127.0.0.1:2379", f.urls[i])
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
			return usageError("--layouts: %s stands there twice", name)
		}
	}
	if (f.certFile == "") != (f.keyFile == "") {
		return usageError("--etcd-cert-file and --etcd-key-file go together")
	}
	if (f.userFile == "") != (f.passwordFile == "") {
		return usageError("--etcd-user-file and --etcd-password-file go together")
	}
	return nil
}

// open is the cluster of the flags, which has answered. Whoever gets it closes it.
func (f *etcdFlags) open(ctx context.Context) (*etcd.Cluster, error) {
	o := etcd.Options{
		Name: "of --etcd", Endpoints: f.urls, Layouts: f.layouts, Prefix: f.prefix,
		AllowEndpoints: []string{etcd.KindLoopback, etcd.KindLinkLocal, etcd.KindUnix}, // whoever asks sees what is there
	}
	var err error
	if o.TLS, err = f.tls(ctx); err != nil {
		return nil, err
	}
	if o.Username, err = secret(ctx, "--etcd-user-file", f.userFile); err != nil {
		return nil, err
	}
	if o.Password, err = secret(ctx, "--etcd-password-file", f.passwordFile); err != nil {
		return nil, err
	}
	c, err := etcd.New(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, etcdPatience)
	defer cancel()
	begin := time.Now()
	if err := c.Ping(ctx); err != nil {
		_ = c.Close()
		return nil, f.away(err, time.Since(begin))
	}
	return c, nil
}

// away is the error of an etcd that does not answer.
func (f *etcdFlags) away(err error, after time.Duration) error {
	return &exitError{code: ExitUnreachable, err: fmt.Errorf("no answer from etcd at %s within %s: %w",
		strings.Join(f.urls, ", "), after.Round(100*time.Millisecond), err)}
}

func (f *etcdFlags) tls(ctx context.Context) (*tls.Config, error) {
	if f.caFile == "" && f.certFile == "" {
		return nil, nil //nolint:nilnil // no TLS settings are no error
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.caFile != "" {
		data, err := readGiven(ctx, "--etcd-ca-file", f.caFile, config.MaxFileBytes)
		if err != nil {
			return nil, err
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(data) {
			return nil, failed("--etcd-ca-file: %s has no certificate in PEM", f.caFile)
		}
	}
	if f.certFile != "" {
		cert, err := readGiven(ctx, "--etcd-cert-file", f.certFile, config.MaxFileBytes)
		if err != nil {
			return nil, err
		}
		key, err := readGiven(ctx, "--etcd-key-file", f.keyFile, config.MaxFileBytes)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("--etcd-cert-file and --etcd-key-file: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// servicesIn are the names of all services in etcd. With an error they are those that are known.
func servicesIn(ctx context.Context, c *etcd.Cluster) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdPatience)
	defer cancel()
	err := c.Listed(ctx)
	return slices.Sorted(maps.Keys(c.Status().Services)), err
}

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
