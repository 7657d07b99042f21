package etcd

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// registrar keeps the instances of this host published, under one lease at a time.
type registrar struct {
	c    *Cluster
	kick chan struct{} // there may be something to do

	mu         sync.Mutex
	started    bool
	list       []Instance
	want       []wanted
	own        map[string]node // what the keys of want say; not changed in place
	version    int             // of want
	idle       chan struct{}   // closed while nothing is published and nothing is to be
	end        context.CancelFunc
	lease      clientv3.LeaseID // the last one that was granted; 0: none
	alive      bool             // as far as is known
	keys       map[string]entry // that were written under it, without markers; not changed in place
	registered bool
	reported   bool  // somebody was told how it stands
	revision   int64 // at which all keys were there
	missing    bool  // a key was deleted or written over by somebody else
}

// wanted is a key that is to be there.
type wanted struct {
	entry
	layout int
}

func newRegistrar(c *Cluster) *registrar {
	idle := make(chan struct{})
	close(idle)
	return &registrar{c: c, kick: c.onReconnect(), idle: idle}
}

// Publish replaces what this host publishes and keeps it published until Withdraw, whatever happens to etcd. It returns at
// once; OnRegistered and Status tell when it is done. The list is not changed afterwards.
func (c *Cluster) Publish(list []Instance) {
	r := c.registry
	r.mu.Lock()
	if isClosed(c.table.closed) {
		r.mu.Unlock()
		return
	}
	r.list = list
	if want := c.wanted(list); !slices.Equal(r.want, want) {
		r.want, r.version = want, r.version+1
		r.own = c.read(want)
	}
	if len(r.want) > 0 && isClosed(r.idle) {
		r.idle = make(chan struct{})
	}
	if len(r.want) == 0 && r.end != nil {
		r.end()
	}
	start := !r.started && len(r.want) > 0
	r.started = r.started || start
	r.mu.Unlock()
	if start {
		c.follow() // the registrar is told by it of keys that somebody deletes
		c.spawn(r.run)
	}
	poke(r.kick)
}

// Withdraw takes back what was published. It returns when etcd has forgotten it, or with the error of ctx.
func (c *Cluster) Withdraw(ctx context.Context) error {
	c.Publish(nil)
	c.registry.mu.Lock()
	idle := c.registry.idle
	c.registry.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-c.table.closed:
		return fmt.Errorf("%s: withdraw: %w", c.o.label(), errClosed)
	case <-ctx.Done():
		return fmt.Errorf("%s: withdraw: %w: what is published goes when its lease ends, in %v at most", c.o.label(), ctx.Err(), c.o.LeaseTTL)
	}
}

func isClosed(ch chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// wanted are the keys of instances. Two names that differ in case only may have one key: the first has it.
func (c *Cluster) wanted(list []Instance) []wanted {
	var want []wanted
	had := map[string]bool{}
	for _, i := range list {
		for n, l := range c.layouts {
			for _, e := range l.entries(i) {
				if !had[e.key] {
					had[e.key] = true
					want = append(want, wanted{e, n})
				}
			}
		}
	}
	return want
}

// owns reports whether a key is one that this host publishes, and names the address that it should.
func (r *registrar) owns(key string, n *node) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	mine, ours := r.own[key]
	return ours && n.sameAddress(&mine)
}

// read returns what keys say, by key.
func (c *Cluster) read(want []wanted) map[string]node {
	own := make(map[string]node, len(want))
	for _, w := range want {
		if n, ok := c.layouts[w.layout].parse(w.key, []byte(w.value)); ok && !w.marker {
			own[w.key] = n
		}
	}
	return own
}

// run publishes as long as there is something to publish, one lease after the other.
func (r *registrar) run(ctx context.Context) {
	var p pause
	for ctx.Err() == nil {
		session, end := context.WithCancel(ctx)
		r.mu.Lock()
		r.end = end
		idle := len(r.want) == 0
		r.mu.Unlock()
		if idle {
			r.withdraw(ctx)
			r.wait(ctx)
			end()
			continue
		}
		began := time.Now()
		err := r.publish(session)
		withdrawn := session.Err() != nil
		end()
		if withdrawn {
			continue
		}
		r.moveOut()
		r.report(false, fmt.Errorf("%s: %w", r.c.o.label(), err))
		if time.Since(began) > 2*maxPause {
			p.reset()
			spread(ctx)
		}
		p.wait(ctx, nil)
	}
}

func (r *registrar) moveOut() {
	r.mu.Lock()
	r.alive = false
	r.mu.Unlock()
}

// wait returns when there is something to publish.
func (r *registrar) wait(ctx context.Context) {
	for {
		r.mu.Lock()
		wanted := len(r.want) > 0
		if !wanted && !isClosed(r.idle) {
			close(r.idle)
		}
		r.mu.Unlock()
		if wanted {
			return
		}
		select {
		case <-r.kick:
		case <-ctx.Done():
			return
		}
	}
}

// withdraw says of all keys that they go, and gives the lease back, and them with it, until etcd has done so or the lease
// has ended by itself.
func (r *registrar) withdraw(ctx context.Context) {
	r.mu.Lock()
	lease, keys := r.lease, r.keys
	r.lease, r.keys, r.alive, r.registered, r.reported = 0, nil, false, false, false
	r.mu.Unlock()
	if lease == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.c.o.LeaseTTL+time.Second)
	defer cancel()
	var p pause
	for ctx.Err() == nil {
		err := r.c.call(ctx, func(ctx context.Context, cl *clientv3.Client) error {
			var edited []clientv3.Op
			for key := range keys { // that an operator wrote to belong to no lease any more
				edited = append(edited, deletion(key, clientv3.NoLease))
			}
			for _, ops := range [][]clientv3.Op{farewells(keys, lease), edited} {
				for some := range slices.Chunk(ops, maxOps) {
					if _, err := cl.Txn(ctx).Then(some...).Commit(); err != nil {
						return err
					}
				}
			}
			_, err := cl.Revoke(ctx, lease)
			return err
		})
		if err == nil || isLeaseGone(err) {
			r.c.log.Debug("withdrawn")
			return
		}
		r.c.log.Debug("withdraw", "error", err)
		p.wait(ctx, nil)
		r.mu.Lock()
		again := len(r.want) > 0
		r.mu.Unlock()
		if again {
			return
		}
	}
}

// report tells how it stands with the registration, when that is news.
func (r *registrar) report(up bool, err error) {
	r.mu.Lock()
	news := !r.reported || r.registered != up
	r.registered, r.reported = up, true
	r.mu.Unlock()
	if !news {
		return
	}
	switch {
	case r.c.o.OnRegistered != nil:
		r.c.o.OnRegistered(up, err)
	case up:
		r.c.log.Info("published", "services", r.services())
	default:
		r.c.log.Warn("not published: trying again", "error", err)
	}
}

func (r *registrar) services() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.list)
}

// seen is told what the table of a layout shows, and at which revision: when one of our keys is not there, or says
// something else, although it was written before, somebody deleted it or has written over it.
func (r *registrar) seen(layout int, revision int64) {
	r.mu.Lock()
	if !r.registered || revision < r.revision || r.missing {
		r.mu.Unlock()
		return
	}
	want, own, lease := r.want, r.own, r.lease
	r.mu.Unlock()
	if !r.c.table.has(layout, want, own, lease) {
		r.amiss()
	}
}

// has reports whether the keys that are wanted of a layout are there as they should, as far as it watches them, see stands.
func (t *table) has(layout int, want []wanted, own map[string]node, lease clientv3.LeaseID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := t.layouts[layout].keys
	for _, w := range want {
		if w.layout != layout || w.marker {
			continue
		}
		mine := own[w.key]
		if n, there := keys[w.key]; !there || !mine.stands(n, lease) {
			return false
		}
	}
	return true
}

// stands reports whether what is at a key may stay there, where n should be: the same under our lease, an operator's word
// that takes the endpoint out, and that of a host which has the same address now, and came later. Hosts give their name
// where the layout has a place for it.
func (n node) stands(there node, lease clientv3.LeaseID) bool {
	n.revision = there.revision
	switch {
	case clientv3.LeaseID(there.lease) == lease && there.equal(n):
		return true
	case !there.sameAddress(&n) || there.lower != n.lower:
		return false
	case there.out:
		return true
	}
	other := there.lease != int64(clientv3.NoLease) && clientv3.LeaseID(there.lease) != lease
	return other && (there.host != "" || n.host == "")
}

func (n *node) sameAddress(other *node) bool {
	return n.Network == other.Network && n.Address == other.Address
}
