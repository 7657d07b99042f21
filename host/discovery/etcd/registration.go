package etcd

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// registration holds the desired and the written keys of this host. It is safe for concurrent use.
type registration struct {
	o       *Options
	layouts layouts
	cache   *cache
	log     *slog.Logger
	wake    chan struct{} // notified when there may be something to write

	mu         sync.Mutex
	started    bool
	list       []Instance
	want       []wanted
	own        map[string]node // described by the keys of want; not changed in place
	version    int             // of want
	idle       chan struct{}   // closed while nothing is or should be published
	end        context.CancelFunc
	lease      clientv3.LeaseID // the last one granted; 0: none
	alive      bool             // whether the lease is, as far as is known
	keys       map[string]entry // written under the lease, without markers; not changed in place
	registered bool
	reported   bool  // as registered, since the last withdrawal
	revision   int64 // at which all keys existed
	missing    bool  // a key was deleted or overwritten by another program
}

func newRegistration(o *Options, layouts layouts, cache *cache, log *slog.Logger, wake chan struct{}) *registration {
	idle := make(chan struct{})
	close(idle)
	return &registration{o: o, layouts: layouts, cache: cache, log: log, wake: wake, idle: idle}
}

// set replaces the list to publish. start is true once, for the first list that is not empty.
func (r *registration) set(list []Instance) (start bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = list
	if want := r.layouts.wanted(list); !slices.Equal(r.want, want) {
		r.want, r.version = want, r.version+1
		r.own = r.layouts.parse(want)
	}
	if len(r.want) > 0 && isClosed(r.idle) {
		r.idle = make(chan struct{})
	}
	if len(r.want) == 0 && r.end != nil {
		r.end()
	}
	start = !r.started && len(r.want) > 0
	r.started = r.started || start
	return start
}

// withdrawn returns a channel that is closed when nothing is published any more.
func (r *registration) withdrawn() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.idle
}

// beginSession sets end, which is called when everything is withdrawn, and reports whether there is something to publish.
func (r *registration) beginSession(end context.CancelFunc) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = end
	return len(r.want) > 0
}

// wanted reports whether there is something to publish.
func (r *registration) wanted() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.want) > 0
}

// waitWanted returns when there is something to publish.
func (r *registration) waitWanted(ctx context.Context) {
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
		case <-r.wake:
		case <-ctx.Done():
			return
		}
	}
}

// startLease makes id the lease and returns the previous one.
func (r *registration) startLease(id clientv3.LeaseID) (previous clientv3.LeaseID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	previous, r.lease, r.alive, r.revision = r.lease, id, true, 0
	return previous
}

func (r *registration) loseLease() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alive = false
}

// endLease clears the lease and the keys written under it, and returns them.
func (r *registration) endLease() (lease clientv3.LeaseID, keys map[string]entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	lease, keys = r.lease, r.keys
	r.lease, r.keys, r.alive, r.registered, r.reported = 0, nil, false, false, false
	return lease, keys
}

// pending returns the keys to have in etcd, and whether any was missing there.
func (r *registration) pending() (want []wanted, version int, missing bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	missing, r.missing = r.missing, false
	return r.want, r.version, missing
}

// setMissing records that a key is not in etcd as it should be.
func (r *registration) setMissing() {
	r.mu.Lock()
	r.missing = true
	r.mu.Unlock()
	notify(r.wake)
}

// written returns the keys that were written last, without markers.
func (r *registration) written() map[string]entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys
}

func (r *registration) setWritten(keys map[string]entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = keys
}

// seenAt records a revision at which the keys existed.
func (r *registration) seenAt(revision int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.revision = max(r.revision, revision)
}

// owns reports whether this host publishes a key, with the address of n.
func (r *registration) owns(key string, n node) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	own, ok := r.own[key]
	return ok && n.sameAddress(own)
}

// check looks for keys of this host that another program has deleted or overwritten. revision is the cache's.
func (r *registration) check(layout int, revision int64) {
	r.mu.Lock()
	if !r.registered || revision < r.revision || r.missing {
		r.mu.Unlock()
		return
	}
	want, own, lease := r.want, r.own, r.lease
	r.mu.Unlock()
	if !r.cache.has(layout, want, own, lease) {
		r.setMissing()
	}
}

// report logs and announces that the registration is complete, or was lost, if that has changed.
func (r *registration) report(up bool, err error) {
	r.mu.Lock()
	changed := !r.reported || r.registered != up
	r.registered, r.reported = up, true
	services := len(r.list)
	r.mu.Unlock()
	switch {
	case !changed:
	case r.o.OnRegistered != nil:
		r.o.OnRegistered(up, err)
	case up:
		r.log.Info("published", "services", services)
	default:
		r.log.Warn("not published; retrying", "error", err)
	}
}

// state returns the lease in hexadecimal ("" for none), whether everything is published under it, and the list to publish.
func (r *registration) state() (lease string, registered bool, list []Instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.alive {
		lease = strconv.FormatInt(int64(r.lease), 16)
	}
	return lease, r.registered, r.list
}

// edited returns the condition that a key exists and belongs to no lease.
func edited(key string) []clientv3.Cmp {
	return []clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(key), ">", 0), clientv3.Compare(clientv3.LeaseValue(key), "=", clientv3.NoLease),
	}
}

// tombstones returns operations that write the tombstones of the keys that belong to the lease. Deleting them takes another
// transaction: watches see only the last change of one.
func tombstones(keys map[string]entry, lease clientv3.LeaseID) []clientv3.Op {
	ops := make([]clientv3.Op, 0, len(keys))
	for key, e := range keys {
		ops = append(ops, clientv3.OpTxn(heldBy(key, lease), []clientv3.Op{clientv3.OpPut(key, e.tombstone, clientv3.WithLease(lease))}, nil))
	}
	return ops
}

// deletion returns an operation that deletes a key if it belongs to the lease.
func deletion(key string, lease clientv3.LeaseID) clientv3.Op {
	return clientv3.OpTxn(heldBy(key, lease), []clientv3.Op{clientv3.OpDelete(key)}, nil)
}

func heldBy(key string, lease clientv3.LeaseID) []clientv3.Cmp {
	return []clientv3.Cmp{clientv3.Compare(clientv3.LeaseValue(key), "=", lease)}
}
