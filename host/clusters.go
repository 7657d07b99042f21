package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/discovery/etcd"
)

// A cluster is an entry of discovery.etcd at work. Generations that do not change it share it; it is closed when a newer
// one has taken its place and nobody looks for endpoints in it any more.
type cluster struct {
	users // who looks for endpoints in it
	name  string
	made  recipe[config.Etcd]
	etcd  *etcd.Cluster
	left  atomic.Pointer[known] // by the cluster before it; nil once it has answered

	registered      atomic.Bool
	registeredOnce  atomic.Bool
	registeredSince atomic.Pointer[time.Time]
	leaving         atomic.Bool // withdrawing is no loss

	lookOut   sync.Once // for twins
	stopWatch context.CancelFunc
	watching  sync.WaitGroup
	twin      atomic.Pointer[string] // where another live host of this name is
}

func (c *cluster) madeOf() recipe[config.Etcd] { return c.made }

func clusterMadeOf(set *config.Set, e config.Etcd) recipe[config.Etcd] {
	m := recipe[config.Etcd]{config: e, files: fingerprint(set, append(tlsFiles(e.TLS), e.UsernameFile, e.PasswordFile)...)}
	if e.Register != nil { // where it is advertised is said with each publishing
		r := *e.Register
		r.Advertise = ""
		m.config.Register = &r
	}
	m.config.Required = false // asked for at the start alone
	return m
}

// openClusters gives the generation its clusters: the running ones that nothing changed, and new ones.
func (p *plan) openClusters(g *generation) error {
	g.clusters = make(map[string]*cluster)
	if p.set.Manifest.Discovery == nil {
		return nil
	}
	for i, e := range p.set.Manifest.Discovery.Etcd {
		made, running := clusterMadeOf(p.set, e), p.prev.cluster(e.Name)
		c, opened, err := renew(g, running, made, func() (*cluster, error) {
			return p.host.openCluster(p.set, fmt.Sprintf("discovery.etcd[%d]", i), e, made)
		})
		if err != nil {
			return err
		}
		if opened {
			c.inherit(running)
			p.openedClusters = append(p.openedClusters, c)
		}
		g.clusters[e.Name] = c
	}
	return nil
}

// cluster is that of a name. No generation has none.
func (g *generation) cluster(name string) *cluster {
	if g == nil {
		return nil
	}
	return g.clusters[name]
}

func (h *Host) openCluster(set *config.Set, path string, e config.Etcd, made recipe[config.Etcd]) (*cluster, error) {
	c := &cluster{users: newUsers(), name: e.Name, made: made}
	o := etcd.Options{
		Name: e.Name, Endpoints: e.Endpoints, Prefix: e.Prefix, Layouts: e.Layouts, Logger: h.sampler.Logger(),
		Host: h.name, AllowEndpoints: e.AllowEndpoints, DropUnknown: !e.Staleness.KeepLastKnown, MinHealthy: e.Staleness.MinHealthyPercent,
		OnRegistered: func(up bool, err error) { h.registrationChanged(c, up, err) },
	}
	if o.MinHealthy == 0 {
		o.MinHealthy = -1 // none
	}
	if e.Register != nil {
		o.LeaseTTL = e.Register.LeaseTTL.Std()
	}
	var err error
	if o.TLS, err = clientTLS(set, path+".tls", e.TLS); err != nil {
		return nil, err
	}
	if o.Username, err = secret(set, path+".usernameFile", e.UsernameFile); err != nil {
		return nil, err
	}
	if o.Password, err = secret(set, path+".passwordFile", e.PasswordFile); err != nil {
		return nil, err
	}
	if c.etcd, err = etcd.New(o); err != nil {
		return nil, set.ProblemAt(path, err.Error())
	}
	return c, nil
}

// answerWait is how long a cluster that is required has to answer when the host starts.
const answerWait = 10 * time.Second

// requireClusters asks those without which the host is not to start. The error is config.Problems.
func (h *Host) requireClusters(ctx context.Context) error {
	g := h.current.Load()
	d := g.set.Manifest.Discovery
	if d == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	var problems config.Problems
	for i, e := range d.Etcd {
		if !e.Required {
			continue
		}
		if err := g.clusters[e.Name].answers(ctx); err != nil {
			problems = append(problems, g.set.ProblemAt(fmt.Sprintf("discovery.etcd[%d].required", i),
				err.Error()+"; start it, or write required: false to serve without it")...)
		}
	}
	return problems.Err()
}

// answers waits for an answer until ctx ends; the error then says why there is none.
func (c *cluster) answers(ctx context.Context) error {
	const again = 250 * time.Millisecond
	var why error
	for {
		err := c.etcd.Ping(ctx)
		if err == nil {
			return nil
		}
		if why == nil || ctx.Err() == nil { // that the time is over says less
			why = err
		}
		pause(ctx, again)
		if ctx.Err() != nil {
			return why
		}
	}
}

// retireClusters closes those that next does not have.
func (h *Host) retireClusters(prev, next *generation) {
	if prev == nil {
		return
	}
	for name, c := range prev.clusters {
		if next.clusters[name] != c {
			h.retiring.Go(func() { h.discardCluster(c, next.clusters[name]) })
		}
	}
}

// discardCluster takes a cluster out of use. What it published goes when its successor has published the same.
func (h *Host) discardCluster(c, successor *cluster) {
	if successor != nil {
		succeeding, cancel := context.WithTimeout(h.life, answerWait)
		defer cancel()
		for succeeding.Err() == nil && successor.registering() {
			pause(succeeding, 50*time.Millisecond)
		}
	}
	c.leaving.Store(true)
	withdrawing, cancel := context.WithTimeout(h.life, withdrawWait)
	defer cancel()
	if err := c.etcd.Withdraw(withdrawing); err != nil && h.life.Err() == nil {
		h.log.Warn("what was published goes with its lease", "etcd", c.name, "error", err)
	}
	h.outlast(&c.users)
	h.closeCluster(c)
}

// registering tells that something is to be published, and not all of it is.
func (c *cluster) registering() bool {
	s := c.etcd.Status()
	return !s.Registered && len(s.Instances) > 0
}

func (h *Host) closeCluster(c *cluster) {
	if c.stopWatch != nil {
		c.stopWatch()
	}
	c.watching.Wait()
	if err := c.etcd.Close(); err != nil {
		h.log.Warn("the connection to etcd was not closed cleanly", "etcd", c.name, "error", err)
	}
}

// inNameOrder is the clusters of a generation.
func (g *generation) inNameOrder() []*cluster {
	list := make([]*cluster, 0, len(g.clusters))
	for _, name := range slices.Sorted(maps.Keys(g.clusters)) {
		list = append(list, g.clusters[name])
	}
	return list
}
