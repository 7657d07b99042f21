package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// follower keeps the table in step with the keys of one layout: it lists them, watches from the revision of the list,
// and begins again whenever the watch may have missed something.
type follower struct {
	c      *Cluster
	layout layout
	index  int
	kick   chan struct{} // the connection was lost, or is back
}

// position is a place in the history of a cluster.
type position struct {
	cluster  uint64
	revision int64
}

func (f *follower) run(ctx context.Context) {
	var p pause
	var at position
	var doubt time.Time // since when keys are in the table that no list has
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
			if overdue := !doubt.IsZero() && time.Since(doubt) > sureAfter; overdue || pastIsLost(err) {
				at = position{} // what came after it cannot be had
			}
			f.c.log.Debug("list again", "prefix", f.layout.prefix(), "because", err)
			if time.Since(began) > maxPause {
				p.reset()
				spread(ctx)
			} else {
				p.wait(ctx, f.kick) // whatever cannot be watched is not listed all the time
			}
			continue
		}
		if ctx.Err() != nil {
			return
		}
		f.c.table.fail(time.Now(), f.index, fmt.Errorf("%s: %w", f.c.o.label(), err))
		f.c.answered()
		p.wait(ctx, f.kick)
	}
}

// list reads all keys, and tells where to watch on: after from, if that is where a watch of the same history broke off
// and keys are gone since. Whether they said farewell is known to the events alone. unsure tells that they are still in
// the table.
func (f *follower) list(ctx context.Context, from position) (at position, unsure bool, err error) {
	select {
	case <-f.kick: // what it says is about to be known
	default:
	}
	var found *clientv3.GetResponse
	if err := f.c.call(ctx, func(ctx context.Context, cl *clientv3.Client) (err error) {
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
	if from.cluster == at.cluster && from.revision <= at.revision && f.c.table.keep(f.index, keys) {
		at, unsure = from, true
	}
	f.c.table.replace(time.Now(), f.index, keys)
	f.c.answered()
	f.c.registry.seen(f.index, at.revision)
	return at, unsure, nil
}

func (f *follower) parse(kv *mvccpb.KeyValue) node {
	n, ok := f.layout.parse(string(kv.Key), kv.Value)
	if !ok {
		return node{}
	}
	n.lease, n.revision = kv.Lease, kv.ModRevision
	key := string(kv.Key)
	kind, believed := f.c.believes(key, &n)
	if believed {
		n.Endpoint = f.c.checked(key, n)
		return n
	}
	if !f.c.table.knowsLeftOut(f.index, key) {
		f.c.log.Warn("an endpoint in etcd is left out: it is of a kind that discovery.etcd[].allowEndpoints does not have",
			"service", n.service, "endpoint", n.Address, "kind", kind, "key", key)
	}
	return node{Endpoint: n.Endpoint, service: n.service, kind: kind}
}

// Why a watch ends.
var (
	errListAgain  = errors.New("it is time for a full list")
	errReconnect  = errors.New("the connection was lost or is back")
	errWatchEnded = errors.New("the watch ended")
	errOtherPast  = errors.New("the cluster has another past")
)

// watch follows the keys until it may have missed something, which is what the error says, and tells how far it came.
func (f *follower) watch(ctx context.Context, at position, unsure bool) (position, error) {
	cl, err := f.c.connect(ctx)
	if err != nil {
		return at, err
	}
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	late := time.AfterFunc(callTimeout, cancel) // Watch waits for the server to know of it
	events := cl.Watch(ctx, f.layout.prefix(), clientv3.WithPrefix(), clientv3.WithRev(at.revision+1), clientv3.WithCreatedNotify())
	late.Stop()
	every := listEvery
	if unsure { // this may be another history with the same name
		every = sureAfter
	}
	again := time.NewTimer(about(every))
	defer again.Stop()
	for {
		select {
		case <-again.C:
			return at, errListAgain
		case <-f.kick:
			return at, errReconnect
		case r, open := <-events:
			if !open {
				return at, errWatchEnded
			}
			if err := r.Err(); err != nil {
				return at, err
			}
			if r.Header.ClusterId != at.cluster || r.Header.Revision < at.revision {
				return at, errOtherPast
			}
			if n := len(r.Events); n > 0 { // the header is ahead of what is still to come
				at.revision = r.Events[n-1].Kv.ModRevision
				f.apply(r.Events, at.revision)
			}
		}
	}
}

// pastIsLost tells whether a watch that ended with err cannot go on where it was. Whatever else ended it, such as that
// etcd had no leader for a while, took nothing of the history away.
func pastIsLost(err error) bool {
	for _, lost := range []error{errListAgain, errOtherPast, rpctypes.ErrCompacted, rpctypes.ErrFutureRev} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return false
}

// apply brings the table up to date. The event of a deletion has no value: the key says what is gone, and an event
// before it whether that was meant.
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
			f.c.table.edit(time.Now(), f.index, keys)
			keys = make(map[string]*node, len(events))
		}
		keys[key] = nil
	}
	f.c.table.edit(time.Now(), f.index, keys)
	f.c.registry.seen(f.index, revision)
}
