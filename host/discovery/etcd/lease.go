package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
)

// tenancy is one life of a lease.
type tenancy struct {
	r       *registrar
	id      clientv3.LeaseID
	version int // of what was written
}

var errLeaseLost = errors.New("the lease was lost")

// isLeaseGone tells that etcd does not know the lease.
func isLeaseGone(err error) bool {
	var coded interface{ Code() codes.Code }
	return errors.Is(err, errLeaseLost) || errors.As(err, &coded) && coded.Code() == codes.NotFound
}

// publish gets a lease and keeps all keys under it, until it is lost or ctx ends.
func (r *registrar) publish(ctx context.Context) error {
	cl, err := r.c.connect(ctx)
	if err != nil {
		return err
	}
	var grant *clientv3.LeaseGrantResponse
	if err := r.c.call(ctx, func(ctx context.Context, cl *clientv3.Client) (err error) {
		grant, err = cl.Grant(ctx, int64((r.c.o.LeaseTTL+time.Second-1)/time.Second))
		return err
	}); err != nil {
		return err
	}
	// One that stopped on an error never works again: each lease has its own.
	lessor := clientv3.NewLease(cl)
	defer func() { _ = lessor.Close() }()
	alive, err := lessor.KeepAlive(ctx, grant.ID)
	if err != nil {
		return err
	}
	old := r.moveIn(grant.ID)
	t := &tenancy{r: r, id: grant.ID}
	if err := t.stay(ctx, alive, func() { r.forget(ctx, old) }); ctx.Err() == nil {
		return err
	}
	return ctx.Err()
}

// moveIn makes id the lease, and tells which one was before.
func (r *registrar) moveIn(id clientv3.LeaseID) (old clientv3.LeaseID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, r.lease, r.alive, r.revision = r.lease, id, true, 0
	return old
}

// forget gives back a lease that was believed to be lost, if etcd has it still: with it go keys that are not wanted any
// longer. The others are under the new one by now.
func (r *registrar) forget(ctx context.Context, lease clientv3.LeaseID) {
	if lease == 0 {
		return
	}
	_ = r.c.call(ctx, func(ctx context.Context, cl *clientv3.Client) error { // it ends by itself as well
		_, err := cl.Revoke(ctx, lease)
		return err
	})
}

// stay brings etcd up to date whenever there is a reason, until the lease is lost. settled is called the first time that it
// is.
func (t *tenancy) stay(ctx context.Context, alive <-chan *clientv3.LeaseKeepAliveResponse, settled func()) error {
	look := time.NewTimer(about(listEvery))
	defer look.Stop()
	var p pause
	for first := true; ; first = false {
		if err := t.settle(ctx, alive, &p); err != nil {
			return err
		}
		if first {
			settled()
		}
		if err := t.reason(ctx, alive, look); err != nil {
			return err
		}
	}
}

// settle returns when etcd is up to date, or with why it cannot be any more.
func (t *tenancy) settle(ctx context.Context, alive <-chan *clientv3.LeaseKeepAliveResponse, p *pause) error {
	for {
		pending, err := t.sync(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			p.reset()
			t.r.report(true, nil)
			return nil
		case isLeaseGone(err):
			return errLeaseLost
		case pending:
			t.r.report(false, err)
		}
		p.wait(ctx, nil)
		select {
		case _, ok := <-alive:
			if !ok {
				return errLeaseLost
			}
		default:
		}
	}
}

// reason returns when there may be something to do, or with why there is not any more.
func (t *tenancy) reason(ctx context.Context, alive <-chan *clientv3.LeaseKeepAliveResponse, look *time.Timer) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-alive:
			if !ok {
				return errLeaseLost
			}
		case <-t.r.kick:
			return nil
		case <-look.C:
			look.Reset(about(listEvery))
			return nil
		}
	}
}

// sync writes what is not written yet, or sees to it that all of it is still there. pending tells that there was
// something to write.
func (t *tenancy) sync(ctx context.Context) (pending bool, err error) {
	want, version, missing := t.r.agenda()
	defer func() {
		if missing && (pending || err != nil) {
			t.r.amiss() // still
		}
	}()
	if version != t.version {
		if err := t.write(ctx, want); err != nil {
			return true, err
		}
		t.version = version
		return true, nil
	}
	if missing {
		spread(ctx)
	}
	var lease *clientv3.LeaseTimeToLiveResponse
	if err := t.call(ctx, func(ctx context.Context, cl *clientv3.Client) (revision int64, err error) {
		r, err := cl.TimeToLive(ctx, t.id, clientv3.WithAttachedKeys())
		if err != nil {
			return 0, err
		}
		lease = r
		return r.Revision, nil
	}); err != nil {
		return false, err
	}
	if lease.TTL <= 0 {
		return false, errLeaseLost
	}
	attached := make(map[string]bool, len(lease.Keys))
	for _, key := range lease.Keys {
		attached[string(key)] = true
	}
	for _, w := range want {
		if attached[w.key] && !missing {
			continue
		}
		if err := t.mend(ctx, w); err != nil && (!w.marker || isLeaseGone(err)) {
			return false, err
		}
	}
	return false, nil
}

// agenda is what is to be there; missing tells that some of it was seen not to be.
func (r *registrar) agenda() (want []wanted, version int, missing bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	missing, r.missing = r.missing, false
	return r.want, r.version, missing
}

// amiss says that a key was seen not to be as it should.
func (r *registrar) amiss() {
	r.mu.Lock()
	r.missing = true
	r.mu.Unlock()
	poke(r.kick)
}

// maxOps is how many keys are written at once; etcd refuses more than 128.
const maxOps = 64

// write puts under the lease what is new or changed, whoever had the key before, and deletes those of ours that are not
// wanted any more. Under a new lease it puts the others as well, but not over what an operator wrote to them meanwhile.
func (t *tenancy) write(ctx context.Context, want []wanted) error {
	before, keys := t.r.written(), map[string]entry{}
	var puts []clientv3.Op
	for _, w := range want {
		if w.marker {
			continue
		}
		keys[w.key] = w.entry
		put := clientv3.OpPut(w.key, w.value, clientv3.WithLease(t.id))
		if old, known := before[w.key]; !known || old.value != w.value {
			puts = append(puts, put)
		} else if t.version == 0 {
			if err := t.commit(ctx, edited(w.key), nil, put); err != nil {
				return err
			}
		}
	}
	for some := range slices.Chunk(puts, maxOps) {
		if err := t.commit(ctx, nil, some); err != nil {
			return err
		}
	}
	if err := t.leave(ctx, before, keys); err != nil {
		return err
	}
	t.r.wrote(keys)
	for _, w := range want {
		// A marker that may not be written is done without.
		if err := t.mark(ctx, w); isLeaseGone(err) {
			return err
		}
	}
	return nil
}

// mark writes a marker that is not there.
func (t *tenancy) mark(ctx context.Context, w wanted) error {
	if !w.marker {
		return nil
	}
	absent := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(w.key), "=", 0)}
	return t.commit(ctx, absent, []clientv3.Op{clientv3.OpPut(w.key, w.value, clientv3.WithLease(t.id))})
}

// written are the keys that were written last, without markers.
func (r *registrar) written() map[string]entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys
}

func (r *registrar) wrote(keys map[string]entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = keys
}

// edited holds for a key that is there and belongs to no lease.
func edited(key string) []clientv3.Cmp {
	return []clientv3.Cmp{
		clientv3.Compare(clientv3.CreateRevision(key), ">", 0), clientv3.Compare(clientv3.LeaseValue(key), "=", clientv3.NoLease),
	}
}

// mend puts a key that is not there, or that somebody else has written over.
func (t *tenancy) mend(ctx context.Context, w wanted) error {
	var there *clientv3.GetResponse
	if err := t.call(ctx, func(ctx context.Context, cl *clientv3.Client) (revision int64, err error) {
		if there, err = cl.Get(ctx, w.key); err != nil {
			return 0, err
		}
		return there.Header.Revision, nil
	}); err != nil {
		return err
	}
	var revision int64
	if len(there.Kvs) > 0 {
		kv := there.Kvs[0]
		if t.stays(w, kv) {
			return nil
		}
		t.r.c.log.Warn("somebody else has written over a key of this host: it is put right", "key", w.key)
		revision = kv.ModRevision
	}
	unchanged := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(w.key), "=", revision)}
	return t.commit(ctx, unchanged, []clientv3.Op{clientv3.OpPut(w.key, w.value, clientv3.WithLease(t.id))})
}

// stays reports whether a key is to stay as it is. A marker is in nobody's way.
func (t *tenancy) stays(w wanted, kv *mvccpb.KeyValue) bool {
	if w.marker {
		return true
	}
	layout := t.r.c.layouts[w.layout]
	own, _ := layout.parse(w.key, []byte(w.value))
	there, ok := layout.parse(w.key, kv.Value)
	there.lease, there.revision = kv.Lease, kv.ModRevision
	return ok && own.stands(there, t.id)
}

// commit does then if all of when holds, and otherwise what follows.
func (t *tenancy) commit(ctx context.Context, when []clientv3.Cmp, then []clientv3.Op, otherwise ...clientv3.Op) error {
	return t.call(ctx, func(ctx context.Context, cl *clientv3.Client) (revision int64, err error) {
		r, err := cl.Txn(ctx).If(when...).Then(then...).Else(otherwise...).Commit()
		if err != nil {
			return 0, fmt.Errorf("write keys: %w", err)
		}
		return r.Header.Revision, nil
	})
}

// call notes the revision at which the keys were there.
func (t *tenancy) call(ctx context.Context, f func(context.Context, *clientv3.Client) (revision int64, err error)) error {
	return t.r.c.call(ctx, func(ctx context.Context, cl *clientv3.Client) error {
		revision, err := f(ctx, cl)
		if err != nil {
			return err
		}
		t.r.mu.Lock()
		t.r.revision = max(t.r.revision, revision)
		t.r.mu.Unlock()
		return nil
	})
}
