package outgoing

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/credentials"
	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/host/route"
)

// Clusters plans the connections to etcd, which publish the services of the host and find those of others.
type Clusters struct{ Options }

// ClusterPlan is a change of the clusters.
type ClusterPlan struct {
	next   *Connections
	opened []*Cluster
	gone   []*Cluster // or those that were opened, once abandoned
}

// Plan opens the clusters that next adds.
func (p *Clusters) Plan(prev, next *Connections) (*ClusterPlan, error) {
	next.clusters = make(map[string]*Cluster)
	s := &ClusterPlan{next: next}
	for i, e := range next.Set.Manifest.Clusters() {
		made, running := clusterSpec(next.Set, e), prev.Cluster(e.Name)
		c, opened, err := reuseOrOpen(next, running, made, func() (*Cluster, error) {
			return p.open(next.Set, fmt.Sprintf("discovery.etcd[%d]", i), e, made)
		})
		if err != nil {
			return s, err
		}
		if opened {
			c.inherit(running)
			s.opened = append(s.opened, c)
		}
		next.clusters[e.Name] = c
	}
	if prev != nil {
		for name, c := range prev.clusters {
			if next.clusters[name] != c {
				s.gone = append(s.gone, c)
			}
		}
	}
	return s, nil
}

// Commit does nothing: clusters are published by themselves.
func (s *ClusterPlan) Commit(context.Context) {}

// Abandon has Retire close what was opened.
func (s *ClusterPlan) Abandon() { s.gone, s.next = s.opened, nil }

// Retire closes the clusters that are out of use, and returns when that has ended. They withdraw before their users
// are done.
func (s *ClusterPlan) Retire(life context.Context, _ <-chan struct{}) {
	var retiring sync.WaitGroup
	for _, c := range s.gone {
		retiring.Go(func() { c.discard(life, s.next.Cluster(c.name)) })
	}
	retiring.Wait()
}

// open returns the connection to a cluster, whose path in the manifest is path.
func (p *Clusters) open(set *config.Set, path string, e config.Etcd, made spec[config.Etcd]) (*Cluster, error) {
	c := &Cluster{RefCount: route.NewRefCount(), name: e.Name, host: p.Host, log: p.Log, spec: made, settled: make(chan struct{})}
	c.settle = sync.OnceFunc(func() { close(c.settled) })
	o := etcd.Options{
		Name: e.Name, Endpoints: e.Endpoints, Prefix: e.Prefix, Layouts: e.Layouts, Logger: p.Sampler.Logger(),
		Host: p.Host, AllowEndpoints: e.AllowEndpoints, DropUnknown: !e.Staleness.KeepLastKnown, MinHealthy: e.Staleness.MinHealthyPercent,
		OnRegistered: c.registrationChanged,
	}
	if o.MinHealthy == 0 {
		o.MinHealthy = -1 // none
	}
	if e.Register != nil {
		o.LeaseTTL = e.Register.LeaseTTL.Std()
	}
	var err error
	if o.TLS, err = credentials.ClientTLS(set, path+".tls", e.TLS); err != nil {
		return nil, err
	}
	if o.Username, err = credentials.Secret(set, path+".usernameFile", e.UsernameFile); err != nil {
		return nil, err
	}
	if o.Password, err = credentials.Secret(set, path+".passwordFile", e.PasswordFile); err != nil {
		return nil, err
	}
	if c.etcd, err = etcd.New(o); err != nil {
		return nil, set.ProblemAt(path, err.Error())
	}
	return c, nil
}

// Publish publishes the services in each cluster that this host registers with, until they are withdrawn or life ends.
func (p *Clusters) Publish(life context.Context, c *Connections) {
	for _, e := range c.Set.Manifest.Clusters() {
		if e.Register != nil {
			c.clusters[e.Name].publish(life, p.instances(c.Set.Manifest, e.Register))
		}
	}
}

// instances returns the services of a manifest as a cluster publishes them, aliases included.
func (p *Clusters) instances(m *config.Manifest, r *config.Register) []etcd.Instance {
	address := p.advertised(m, r)
	if address == "" {
		return nil
	}
	var list []etcd.Instance
	for i := range m.Services {
		s := &m.Services[i]
		if !m.IsPublished(s) {
			continue
		}
		for _, name := range append([]string{s.Name}, s.Aliases...) {
			list = append(list, etcd.Instance{
				Service: name, Address: address, Metadata: maps.Clone(s.Metadata), Host: p.Host, Version: p.Version,
			})
		}
	}
	return list
}

// advertised returns the address that is published; empty if there is none.
func (p *Clusters) advertised(m *config.Manifest, r *config.Register) string {
	if r.Advertise != "" {
		return r.Advertise
	}
	l := m.PublishedListener()
	if l == nil {
		return ""
	}
	if addr := p.Addr(l.Name); addr != nil {
		return addr.String() // with the port that the system chose
	}
	return ""
}
