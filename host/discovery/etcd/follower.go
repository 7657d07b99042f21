package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const (
	listInterval = time.Minute      // ± 10 %; a full list repairs what a watch may miss
	doubtTimeout = 10 * time.Second // after which keys missing from the list are dropped without an event
)

// follower keeps the cache in sync with the keys of one layout. It lists them, watches from the revision of the list, and
// starts over whenever the watch may have missed something.
type follower struct {
	conn      *connection
	layout    layout
	index     int
	cache     *cache
	trust     *trust
	log       *slog.Logger
	onChange  func(layout int, revision int64) // called when the cache has changed
	reconnect chan struct{}
}

// position is a point in the history of a cluster.
type position struct {
	cluster  uint64
	revision int64
}

func (f *follower) run(ctx context.Context) {
	var b backoff
	var at position
	var doubt time.Time // when the cache first had keys missing from the list
	for ctx.Err() == nil {
		now, unsure, err := f.list(ctx, at)
		if err == nil {
			began := time.Now()
			switch {
			case !unsure:
				doubt = time.Time{}
			case doubt.IsZero():
				doubt = began
			}
			at, err = f.watch(ctx, now, unsure)
			if overdue := !doubt.IsZero() && time.Since(doubt) > doubtTimeout; overdue || historyLost(err) {
				at = position{}
			}
			f.log.Debug("listing the keys again", "prefix", f.layout.prefix(), "reason", err)
			if time.Since(began) > maxBackoff {
				b.reset()
				spread(ctx)
			} else {
				b.wait(ctx, f.reconnect) // a watch that fails at once must not cause a loop of lists
			}
			continue
		}
		if ctx.Err() != nil {
			return
		}
		f.cache.fail(time.Now(), f.index, fmt.Errorf("%s: %w", f.conn.o.label(), err))
		f.cache.updateHealth()
		b.wait(ctx, f.reconnect)
	}
}

// list reads all keys and returns the position to watch from. If keys have disappeared and the history is the same, that is
// from, where the last watch ended: only the events show whether there was a tombstone. unsure is then true, and the keys
// stay in the cache until the events arrive.
func (f *follower) list(ctx context.Context, from position) (at position, unsure bool, err error) {
	select {
	case <-f.reconnect: // the list is newer
	default:
	}
	var found *clientv3.GetResponse
	if err := f.conn.call(ctx, func(ctx context.Context, cl *clientv3.Client) (err error) {
		found, err = cl.Get(ctx, f.layout.prefix(), clientv3.WithPrefix())
		return err
	}); err != nil {
		return at, false, err
	}
	keys := make(map[string]node, len(found.Kvs))
	for _, kv := range found.Kvs {
		keys[string(kv.Key)] = f.parse(kv)
	}
	at = position{found.Header.ClusterId, found.Header.Revision}
	if from.cluster == at.cluster && from.revision <= at.revision && f.cache.addMissing(f.index, keys) {
		at, unsure = from, true
	}
	f.cache.replace(time.Now(), f.index, keys)
	f.cache.updateHealth()
	f.onChange(f.index, at.revision)
	return at, unsure, nil
}

// parse returns the node of a key. If the key does not describe an endpoint, the node has no service; if the endpoint is
// not accepted, it has a kind.
func (f *follower) parse(kv *mvccpb.KeyValue) node {
	key := string(kv.Key)
	n, ok := f.layout.parse(key, kv.Value)
	if !ok {
		return node{}
	}
	n.lease, n.revision = kv.Lease, kv.ModRevision
	kind, ok := f.trust.accepts(key, n)
	if ok {
		n.Endpoint = f.trust.checked(key, n)
		return n
	}
	if !f.cache.isLeftOut(f.index, key) {
		f.log.Warn("endpoint from etcd ignored: discovery.etcd[].allowEndpoints does not allow this kind of address",
			"service", n.service, "endpoint", n.Address, "kind", kind, "key", key)
	}
	return node{Endpoint: n.Endpoint, service: n.service, kind: kind}
}

// Reasons for the end of a watch.
var (
	errListAgain    = errors.New("time for a full list")
	errReconnect    = errors.New("the connection was lost or re-established")
	errWatchEnded   = errors.New("the watch ended")
	errOtherHistory = errors.New("the cluster has another history")
)

// watch applies changes until it may have missed one. It returns its position and the reason.
func (f *follower) watch(ctx context.Context, at position, unsure bool) (position, error) {
	cl, err := f.conn.connect(ctx)
	if err != nil {
		return at, err
	}
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	timeout := time.AfterFunc(callTimeout, cancel) // Watch waits until the server has created it
	events := cl.Watch(ctx, f.layout.prefix(), clientv3.WithPrefix(), clientv3.WithRev(at.revision+1), clientv3.WithCreatedNotify())
	timeout.Stop()
	interval := listInterval
	if unsure { // the cluster may be another one with the same ID
		interval = doubtTimeout
	}
	list := time.NewTimer(jitter(interval))
	defer list.Stop()
	for {
		select {
		case <-list.C:
			return at, errListAgain
		case <-f.reconnect:
			return at, errReconnect
		case r, open := <-events:
			if !open {
				return at, errWatchEnded
			}
			if err := r.Err(); err != nil {
				return at, err
			}
			if r.Header.ClusterId != at.cluster || r.Header.Revision < at.revision {
				return at, errOtherHistory
			}
			if n := len(r.Events); n > 0 { // the revision of the header is ahead of events that are still to come
				at.revision = r.Events[n-1].Kv.ModRevision
				f.apply(r.Events, at.revision)
			}
		}
	}
}

// historyLost reports whether a watch that ended with err cannot be resumed. Other errors, such as a cluster without a
// leader, leave the history in place.
func historyLost(err error) bool {
	lost := []error{errListAgain, errOtherHistory, rpctypes.ErrCompacted, rpctypes.ErrFutureRev}
	return slices.ContainsFunc(lost, func(cause error) bool { return errors.Is(err, cause) })
}

// apply updates the cache. A tombstone and the deletion after it may be in one batch: the cache has to see both.
func (f *follower) apply(events []*clientv3.Event, revision int64) {
	keys := make(map[string]*node, len(events))
	for _, e := range events {
		key := string(e.Kv.Key)
		if e.Type != clientv3.EventTypeDelete {
			n := f.parse(e.Kv)
			keys[key] = &n
			continue
		}
		if n := keys[key]; n != nil && n.leaving {
			f.cache.edit(time.Now(), f.index, keys)
			keys = make(map[string]*node, len(events))
		}
		keys[key] = nil
	}
	f.cache.edit(time.Now(), f.index, keys)
	f.onChange(f.index, revision)
}
