package etcd

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	for ctx.Err() == nil {
		at, err := f.list(ctx)
		if err == nil {
			began := time.Now()
			err = f.watch(ctx, at)
			f.c.log.Debug("list again", "prefix", f.layout.prefix(), "because", err)
			if time.Since(began) > maxPause {
				p.reset()
			} else {
				p.wait(ctx, f.kick) // whatever cannot be watched is not listed all the time
			}
			continue
		}
		if ctx.Err() != nil {
			return
		}
		f.c.table.fail(time.Now(), f.index, fmt.Errorf("etcd %s: %w", f.c.o.Name, err))
		f.c.answered()
		p.wait(ctx, f.kick)
	}
}

// list reads all keys.
func (f *follower) list(ctx context.Context) (at position, err error) {
	select {
	case <-f.kick: // what it says is about to be known
	default:
	}
	var found *clientv3.GetResponse
	if err := f.c.call(ctx, func(ctx context.Context, cl *clientv3.Client) (err error) {
		found, err = cl.Get(ctx, f.layout.prefix(), clientv3.WithPrefix())
		return err
	}); err != nil {
		return at, err
	}
	keys := make(map[string]node, len(found.Kvs))
	for _, kv := range found.Kvs {
		keys[string(kv.Key)] = f.parse(kv.Key, kv.Value)
	}
	f.c.table.replace(time.Now(), f.index, keys)
	f.c.answered()
	f.c.registry.seen(f.index, found.Header.Revision)
	return position{found.Header.ClusterId, found.Header.Revision}, nil
}

func (f *follower) parse(key, value []byte) node {
	n, ok := f.layout.parse(string(key), value)
	if !ok {
		return node{}
	}
	return n
}

// Why a watch ends.
var (
	errListAgain  = errors.New("it is time for a full list")
	errReconnect  = errors.New("the connection was lost or is back")
	errWatchEnded = errors.New("the watch ended")
	errOtherPast  = errors.New("the cluster has another past")
)

// watch follows the keys until it may have missed something, which is what the error says.
func (f *follower) watch(ctx context.Context, at position) error {
	cl, err := f.c.connect(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	late := time.AfterFunc(callTimeout, cancel) // Watch waits for the server to know of it
	events := cl.Watch(ctx, f.layout.prefix(), clientv3.WithPrefix(), clientv3.WithRev(at.revision+1), clientv3.WithCreatedNotify())
	late.Stop()
	again := time.NewTimer(about(listEvery))
	defer again.Stop()
	for {
		select {
		case <-again.C:
			return errListAgain
		case <-f.kick:
			return errReconnect
		case r, open := <-events:
			if !open {
				return errWatchEnded
			}
			if err := r.Err(); err != nil {
				return err
			}
			if r.Header.ClusterId != at.cluster || r.Header.Revision < at.revision {
				return errOtherPast
			}
			at.revision = r.Header.Revision
			f.apply(r.Events, at.revision)
		}
	}
}

// apply brings the table up to date. The event of a deletion has no value: the key says what is gone, and an event
// before it whether that was meant.
func (f *follower) apply(events []*clientv3.Event, revision int64) {
	if len(events) == 0 {
		return
	}
	keys := make(map[string]*node, len(events))
	for _, e := range events {
		key := string(e.Kv.Key)
		if e.Type != clientv3.EventTypeDelete {
			n := f.parse(e.Kv.Key, e.Kv.Value)
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
