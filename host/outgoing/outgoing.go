// Package outgoing keeps the outgoing connections of a host: clients of upstreams, connections to discovery, and the
// client for services of other hosts.
//
// Each part has one shape. Plan opens what a set adds and puts it into the next Connections. Commit or Abandon ends the
// plan, and Retire then closes replaced resources.
package outgoing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"sync"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/watch"
	"github.com/easymicro/easymicro/host/credentials"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/wire/client"
)

// Options are what the parts need of their host. All are required.
type Options struct {
	Host, Version string
	Log           *slog.Logger
	Sampler       *telemetry.LogSampler // for lines that peers can cause in any number
	Metrics       *telemetry.Metrics
	Tracing       *telemetry.Tracing

	Guard  client.Guard                   // applies the client-side rules in force
	Timing func() watch.Timing            // of watching files with endpoints
	Addr   func(listener string) net.Addr // where a listener is bound; nil when it is not

	UpstreamsGone func() // called after upstreams were closed
	MethodsGone   func() // called after methods of other hosts lost their metrics
}

// Connections are the outgoing connections of one generation of a host. They are immutable once their generation is in force.
type Connections struct {
	Set      *config.Set
	Warnings config.Problems // of files that stay in use as they were
	Remote   *RemoteClient   // nil when the gateway forwards to no other host

	clusters  map[string]*Cluster
	upstreams map[string]*Upstream
}

// Cluster returns the cluster of a name; nil if there is none.
func (c *Connections) Cluster(name string) *Cluster {
	if c == nil {
		return nil
	}
	return c.clusters[name]
}

// Upstreams returns the upstreams by name.
func (c *Connections) Upstreams() map[string]*Upstream { return c.upstreams }

// Upstream returns the upstream of a name; nil if there is none.
func (c *Connections) Upstream(name string) *Upstream {
	if c == nil {
		return nil
	}
	return c.upstreams[name]
}

// InUse reports whether calls use all clients of c, and no longer those that they replace.
func (c *Connections) InUse() bool {
	for _, u := range c.upstreams {
		if !u.InUse() {
			return false
		}
	}
	return c.Remote == nil || c.Remote.InUse()
}

// AwaitRequired waits for the clusters without which the host must not start. The error is config.Problems.
func (c *Connections) AwaitRequired(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	var problems config.Problems
	for i, e := range c.Set.Manifest.Clusters() {
		if !e.Required {
			continue
		}
		if err := c.clusters[e.Name].answers(ctx); err != nil {
			problems = append(problems, c.Set.ProblemAt(fmt.Sprintf("discovery.etcd[%d].required", i),
				err.Error()+"; start it, or write required: false to serve without it")...)
		}
	}
	return problems.Err()
}

// Withdraw deregisters the services in all clusters, so that callers stop using this host while it still serves. The error
// joins those of the clusters where that may have failed.
func (c *Connections) Withdraw(life context.Context) error {
	ctx, cancel := context.WithTimeout(life, withdrawWait)
	defer cancel()
	var all sync.WaitGroup
	errs := make([]error, len(c.Set.Manifest.Clusters()))
	for i, e := range c.Set.Manifest.Clusters() {
		if e.Register != nil {
			all.Go(func() { errs[i] = c.clusters[e.Name].leave(ctx) })
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

// AwaitRegistered waits until all published services are registered, or ctx ends.
func (c *Connections) AwaitRegistered(ctx context.Context) {
	for _, cluster := range c.clusters {
		cluster.awaitRegistered(ctx)
	}
}

// RegistrationUp reports whether all published services are registered.
func (c *Connections) RegistrationUp() bool {
	for _, cluster := range c.clusters {
		if !cluster.isUp() {
			return false
		}
	}
	return true
}

// CloseClusters closes the clusters of a host that ends.
func (c *Connections) CloseClusters() {
	var closing sync.WaitGroup
	for _, cluster := range c.clusters {
		closing.Go(cluster.close)
	}
	closing.Wait()
}

// spec is the configuration of something that generations share. When it changes, a new one is opened.
type spec[C any] struct {
	config C
	files  string // fingerprint of those that config names
}

// reusable is a resource that generations share until its spec changes.
type reusable[C any] interface {
	comparable
	currentSpec() spec[C]
}

// reuseOrOpen returns the running T if its spec is unchanged, or else the one that open returns. If the only error is
// that a certificate and its key do not match, the running T stays, with a warning: such files are replaced one by
// one. The zero T means none.
func reuseOrOpen[T reusable[C], C any](c *Connections, running T, next spec[C], open func() (T, error)) (now T, opened bool, err error) {
	var none T
	if running != none && reflect.DeepEqual(running.currentSpec(), next) {
		return running, false, nil
	}
	now, err = open()
	kept, mayKeep := errors.AsType[*credentials.KeptError](err)
	switch {
	case err == nil:
		return now, true, nil
	case mayKeep && running != none && reflect.DeepEqual(running.currentSpec().config, next.config):
		c.Warnings = append(c.Warnings, kept.Warnings()...)
		return running, false, nil
	}
	return none, false, err
}
