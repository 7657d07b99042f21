package etcd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Options configure a Cluster. Endpoints are required; every other field has a useful zero value.
type Options struct {
	Name        string   // of the cluster in the manifest, for logs and errors
	Endpoints   []string // URLs of the members: http or https, host and port
	Prefix      string   // of the first layout; empty: services/ for easymicro, rpcx/ for rpcx
	Layouts     []string // easymicro, rpcx or both; empty: easymicro
	TLS         *tls.Config
	Username    string
	Password    string
	LeaseTTL    time.Duration // 0: 10 s
	DropUnknown bool          // forget the endpoints while etcd is unreachable
	MinHealthy  int           // percentage of a list that must remain for a loss to count at once; negative: 0; 0: 50
	Host        string        // name of this host, whose own loopback addresses are accepted
	Logger      *slog.Logger  // nil discards
	// AllowEndpoints lists the kinds of local addresses that are accepted from etcd: loopback, linkLocal, unix. Loopback is
	// also accepted if etcd itself is on loopback, or the key belongs to this host.
	AllowEndpoints []string

	OnRegistered func(up bool, err error) // called when the registration is lost and regained; must not block
}

const (
	defaultLeaseTTL   = 10 * time.Second
	defaultMinHealthy = 50
)

func (o *Options) setDefaults() {
	if o.LeaseTTL <= 0 {
		o.LeaseTTL = defaultLeaseTTL
	}
	if o.MinHealthy == 0 {
		o.MinHealthy = defaultMinHealthy
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// label returns the prefix for errors of the cluster.
func (o *Options) label() string {
	if o.Name == "" {
		return "etcd"
	}
	return "etcd " + o.Name
}

// members returns the endpoints for error messages.
func (o *Options) members() string { return strings.Join(o.Endpoints, ", ") }

// checkEndpoints rejects endpoints that the etcd client would misinterpret. Errors show only the scheme and the host: the
// rest may contain a password.
func (o *Options) checkEndpoints() error {
	if len(o.Endpoints) == 0 {
		return errors.New("no endpoints: set the URL of at least one member")
	}
	for _, text := range o.Endpoints {
		u, err := url.Parse(text)
		if err != nil || !strings.Contains(text, "://") {
			return fmt.Errorf("endpoint %q is not a URL such as http://127.0.0.1:2379", withoutUser(text))
		}
		shown := u.Scheme + "://" + u.Host
		switch {
		case u.Scheme != "http" && u.Scheme != "https":
			return fmt.Errorf("endpoint %s: the scheme must be http or https", shown)
		case u.User != nil:
			return fmt.Errorf("endpoint %s contains credentials: use Username and Password", shown)
		case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
			return fmt.Errorf("endpoint %s has more than host and port: use Prefix for the start of the keys", shown)
		case u.Hostname() == "":
			return fmt.Errorf("endpoint %s has no host", shown)
		case u.Scheme == "http" && o.TLS != nil:
			return fmt.Errorf("endpoint %s is http although TLS is set: write https://%s", shown, u.Host)
		}
	}
	return nil
}

// withoutUser removes the credentials from text that is not a URL.
func withoutUser(text string) string {
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		return "…" + text[i:]
	}
	return text
}

// onLoopback reports whether etcd itself is on this machine.
func (o *Options) onLoopback() bool {
	return !slices.ContainsFunc(o.Endpoints, func(text string) bool {
		u, err := url.Parse(text)
		return err != nil || addressKind("tcp", net.JoinHostPort(u.Hostname(), "1")) != KindLoopback
	})
}
