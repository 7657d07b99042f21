// Package etcd publishes services in etcd and finds those of others, in the key layouts of easymicro and rpcx.
package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"time"

	"github.com/easymicro/easymicro/wire/client"
)

// Options say which cluster, and how its keys are laid out.
type Options struct {
	Name         string   // of the cluster in the manifest, for logs and errors
	Endpoints    []string // URLs of the members
	Prefix       string   // of the first layout; empty: services/ for easymicro, rpcx/ for rpcx
	Layouts      []string // easymicro, rpcx or both; empty: easymicro
	TLS          *tls.Config
	Username     string
	Password     string
	LeaseTTL     time.Duration // 0: 10 s
	DropUnknown  bool          // forget the endpoints while etcd is away
	MinHealthy   int           // percent of a list that must remain for the loss to be believed at once; negative: 0; 0: 50
	Logger       *slog.Logger
	OnRegistered func(up bool, err error) // told when the registration is lost and regained; must not block
}

// Instance is one service of this host as it is published.
type Instance struct {
	Service  string // exact name; an alias is an instance of its own
	Network  string // tcp
	Address  string // host:port that others reach it at
	Metadata map[string]string
	Host     string
	Version  string
}

// Cluster is an etcd cluster: a client.Resolver, and the place where a host publishes itself.
type Cluster struct{}

// New makes a Cluster. It opens nothing before it is used.
func New(o Options) (*Cluster, error) { return nil, errors.ErrUnsupported }

// Watch is that of client.Resolver.
func (c *Cluster) Watch(ctx context.Context, service string, update func([]client.Endpoint, error)) error {
	return errors.ErrUnsupported
}

// WatchServices tells update the names of all services that have endpoints, as Watch tells endpoints.
func (c *Cluster) WatchServices(ctx context.Context, update func([]string, error)) error {
	return errors.ErrUnsupported
}

// Publish replaces what this host publishes and keeps it published until Withdraw, whatever happens to etcd. It returns at
// once; Published tells when it is done.
func (c *Cluster) Publish(list []Instance) {}

// Withdraw takes back what was published. It returns when etcd has forgotten it, or with the error of ctx.
func (c *Cluster) Withdraw(ctx context.Context) error { return nil }

// Ping asks the cluster for an answer.
func (c *Cluster) Ping(ctx context.Context) error { return nil }

// Status is what is known of the cluster.
func (c *Cluster) Status() Status { return Status{} }

// Close ends all that the cluster does. What is published goes with its lease.
func (c *Cluster) Close() error { return nil }

// Status says how it stands with a cluster.
type Status struct {
	Connected  bool
	Err        string // why not
	Lease      string // hexadecimal; empty: none
	Registered bool   // all instances are published under the lease
	Since      time.Time
	Instances  []Instance
	Services   map[string][]EndpointState // what was found, by service
}

// EndpointState is a found endpoint.
type EndpointState struct {
	client.Endpoint
	Host  string
	State string // live, or stale: gone from etcd and kept for a while
}
