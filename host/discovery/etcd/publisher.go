package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
)

// publisher writes the registration to etcd, under one lease at a time.
type publisher struct {
	conn *connection
	reg  *registration
	log  *slog.Logger
}

// run publishes under one lease after another while there is something to publish.
func (p *publisher) run(ctx context.Context) {
	var b backoff
	for ctx.Err() == nil {
		session, end := context.WithCancel(ctx)
		if !p.reg.beginSession(end) {
			p.withdraw(ctx)
			p.reg.waitWanted(ctx)
			end()
			continue
		}
		began := time.Now()
		err := p.publish(session)
		withdrawn := session.Err() != nil
		end()
		if withdrawn {
			continue
		}
		p.reg.loseLease()
		p.reg.report(false, fmt.Errorf("%s: %w", p.conn.o.label(), err))
		if time.Since(began) > 2*maxBackoff {
			b.reset()
			spread(ctx)
		}
		b.wait(ctx, nil)
	}
}

// publish gets a lease and keeps all keys under it, until it is lost or ctx ends.
func (p *publisher) publish(ctx context.Context) error {
	cl, err := p.conn.connect(ctx)
	if err != nil {
		return err
	}
	var grant *clientv3.LeaseGrantResponse
	if err := p.conn.call(ctx, func(ctx context.Context, cl *clientv3.Client) (err error) {
		grant, err = cl.Grant(ctx, int64((p.conn.o.LeaseTTL+time.Second-1)/time.Second))
		return err
	}); err != nil {
		return err
	}
	lessor := clientv3.NewLease(cl) // for this lease only: after an error a lessor keeps nothing alive
	defer func() { _ = lessor.Close() }()
	alive, err := lessor.KeepAlive(ctx, grant.ID)
	if err != nil {
		return err
	}
	previous := p.reg.startLease(grant.ID)
	s := &leaseSession{conn: p.conn, reg: p.reg, log: p.log, id: grant.ID, alive: alive}
	if err := s.run(ctx, func() { p.revoke(ctx, previous) }); ctx.Err() == nil {
		return err
	}
	return ctx.Err()
}

// revoke revokes a lease that seemed lost, if etcd still has it, and so deletes the keys that are no longer wanted. The
// others belong to the new lease by now.
func (p *publisher) revoke(ctx context.Context, lease clientv3.LeaseID) {
	if lease == 0 {
		return
	}
	_ = p.conn.call(ctx, func(ctx context.Context, cl *clientv3.Client) error { // it expires in any case
		_, err := cl.Revoke(ctx, lease)
		return err
	})
}

// withdraw overwrites all keys with tombstones and revokes their lease. It retries until that is done or the lease has
// expired.
func (p *publisher) withdraw(ctx context.Context) {
	lease, keys := p.reg.endLease()
	if lease == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.conn.o.LeaseTTL+time.Second)
	defer cancel()
	var edited []clientv3.Op
	for key := range keys { // a key edited by an operator belongs to no lease
		edited = append(edited, deletion(key, clientv3.NoLease))
	}
	var b backoff
	for ctx.Err() == nil {
		err := p.conn.call(ctx, func(ctx context.Context, cl *clientv3.Client) error {
			for _, ops := range [][]clientv3.Op{tombstones(keys, lease), edited} {
				for some := range slices.Chunk(ops, maxOps) {
					if _, err := cl.Txn(ctx).Then(some...).Commit(); err != nil {
						return err
					}
				}
			}
			_, err := cl.Revoke(ctx, lease)
			return err
		})
		if err == nil || isLeaseLost(err) {
			p.log.Debug("deregistered")
			return
		}
		p.log.Debug("cannot deregister; retrying", "error", err)
		b.wait(ctx, nil)
		if p.reg.wanted() {
			return
		}
	}
}

// leaseSession keeps the keys of the registration under one lease.
type leaseSession struct {
	conn    *connection
	reg     *registration
	log     *slog.Logger
	id      clientv3.LeaseID
	alive   <-chan *clientv3.LeaseKeepAliveResponse // closed when the lease is lost
	version int                                     // of the keys that were written
}

var errLeaseLost = errors.New("the lease was lost")

// isLeaseLost reports whether err means that etcd does not have the lease.
func isLeaseLost(err error) bool {
	var coded interface{ Code() codes.Code }
	return errors.Is(err, errLeaseLost) || errors.As(err, &coded) && coded.Code() == codes.NotFound
}

// run keeps etcd up to date until the lease is lost. It calls synced the first time that etcd is up to date.
func (s *leaseSession) run(ctx context.Context, synced func()) error {
	look := time.NewTimer(jitter(listInterval))
	defer look.Stop()
	var b backoff
	for first := true; ; first = false {
		if err := s.sync(ctx, &b); err != nil {
			return err
		}
		if first {
			synced()
		}
		if err := s.wait(ctx, look); err != nil {
			return err
		}
	}
}

// sync returns when etcd is up to date, or with the reason why it cannot be.
func (s *leaseSession) sync(ctx context.Context, b *backoff) error {
	for {
		pending, err := s.reconcile(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			b.reset()
			s.reg.report(true, nil)
			return nil
		case isLeaseLost(err):
			return errLeaseLost
		case pending:
			s.reg.report(false, err)
		}
		b.wait(ctx, nil)
		select {
		case _, ok := <-s.alive:
			if !ok {
				return errLeaseLost
			}
		default:
		}
	}
}

// wait returns when there may be something to write, or with the reason why it cannot be written.
func (s *leaseSession) wait(ctx context.Context, look *time.Timer) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case _, ok := <-s.alive:
			if !ok {
				return errLeaseLost
			}
		case <-s.reg.wake:
			return nil
		case <-look.C:
			look.Reset(jitter(listInterval))
			return nil
		}
	}
}

// reconcile writes what is not written yet, or else restores missing keys. pending is true if there was something to write.
func (s *leaseSession) reconcile(ctx context.Context) (pending bool, err error) {
	want, version, missing := s.reg.pending()
	defer func() {
		if missing && (pending || err != nil) {
			s.reg.setMissing() // still
		}
	}()
	if version != s.version {
		if err := s.write(ctx, want); err != nil {
			return true, err
		}
		s.version = version
		return true, nil
	}
	if missing {
		spread(ctx)
	}
	attached, err := s.attachedKeys(ctx)
	if err != nil {
		return false, err
	}
	for _, w := range want {
		if attached[w.key] && !missing {
			continue
		}
		if err := s.restore(ctx, w); err != nil && (!w.marker || isLeaseLost(err)) {
			return false, err
		}
	}
	return false, nil
}

// attachedKeys returns the keys that belong to the lease.
func (s *leaseSession) attachedKeys(ctx context.Context) (map[string]bool, error) {
	attached := map[string]bool{}
	err := s.call(ctx, func(ctx context.Context, cl *clientv3.Client) (revision int64, err error) {
		lease, err := cl.TimeToLive(ctx, s.id, clientv3.WithAttachedKeys())
		if err != nil {
			return 0, err
		}
		if lease.TTL <= 0 {
			return lease.Revision, errLeaseLost
		}
		for _, key := range lease.Keys {
			attached[string(key)] = true
		}
		return lease.Revision, nil
	})
	return attached, err
}

// maxOps is how many keys are written at once; etcd refuses more than 128.
const maxOps = 64

// write writes new and changed keys under the lease, even those held by another, and removes keys that are no longer
// wanted. Under a new lease it writes the others, too, except those that an operator has edited meanwhile.
func (s *leaseSession) write(ctx context.Context, want []wanted) error {
	before, keys := s.reg.written(), map[string]entry{}
	var puts []clientv3.Op
	for _, w := range want {
		if w.marker {
			continue
		}
		keys[w.key] = w.entry
		put := clientv3.OpPut(w.key, w.value, clientv3.WithLease(s.id))
		if old, known := before[w.key]; !known || old.value != w.value {
			puts = append(puts, put)
		} else if s.version == 0 {
			if err := s.commit(ctx, edited(w.key), nil, put); err != nil {
				return err
			}
		}
	}
	if err := s.commitAll(ctx, puts); err != nil {
		return err
	}
	if err := s.remove(ctx, before, keys); err != nil {
		return err
	}
	s.reg.setWritten(keys)
	for _, w := range want {
		if err := s.mark(ctx, w); isLeaseLost(err) { // a marker that may not be written is dispensable
			return err
		}
	}
	return nil
}

// remove deletes the keys of before that are not in keys. It writes tombstones first, so that callers do not keep the
// endpoints for a while.
func (s *leaseSession) remove(ctx context.Context, before, keys map[string]entry) error {
	gone, known := map[string]entry{}, maps.Clone(keys)
	var deletions []clientv3.Op
	for key, e := range before {
		if _, still := keys[key]; still {
			continue
		}
		gone[key] = e
		known[key] = entry{key: key, value: e.tombstone, tombstone: e.tombstone} // it may be wanted again before it is deleted
		deletions = append(deletions, deletion(key, s.id))
	}
	s.reg.setWritten(known)
	if err := s.commitAll(ctx, tombstones(gone, s.id)); err != nil {
		return err
	}
	return s.commitAll(ctx, deletions)
}

// mark writes a marker unless it exists.
func (s *leaseSession) mark(ctx context.Context, w wanted) error {
	if !w.marker {
		return nil
	}
	absent := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(w.key), "=", 0)}
	return s.commit(ctx, absent, []clientv3.Op{clientv3.OpPut(w.key, w.value, clientv3.WithLease(s.id))})
}

// restore writes a key that is missing, or that another program has overwritten.
func (s *leaseSession) restore(ctx context.Context, w wanted) error {
	var found *clientv3.GetResponse
	if err := s.call(ctx, func(ctx context.Context, cl *clientv3.Client) (revision int64, err error) {
		if found, err = cl.Get(ctx, w.key); err != nil {
			return 0, err
		}
		return found.Header.Revision, nil
	}); err != nil {
		return err
	}
	var revision int64
	if len(found.Kvs) > 0 {
		kv := found.Kvs[0]
		if s.tolerates(w, kv) {
			return nil
		}
		s.log.Warn("another program overwrote a key of this host; restoring it", "key", w.key)
		revision = kv.ModRevision
	}
	unchanged := []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(w.key), "=", revision)}
	return s.commit(ctx, unchanged, []clientv3.Op{clientv3.OpPut(w.key, w.value, clientv3.WithLease(s.id))})
}

// tolerates reports whether kv may stay at a wanted key. A marker may have any value.
func (s *leaseSession) tolerates(w wanted, kv *mvccpb.KeyValue) bool {
	if w.marker {
		return true
	}
	layout := s.reg.layouts[w.layout]
	own, _ := layout.parse(w.key, []byte(w.value))
	found, ok := layout.parse(w.key, kv.Value)
	found.lease, found.revision = kv.Lease, kv.ModRevision
	return ok && own.tolerates(found, s.id)
}

func (s *leaseSession) commitAll(ctx context.Context, ops []clientv3.Op) error {
	for some := range slices.Chunk(ops, maxOps) {
		if err := s.commit(ctx, nil, some); err != nil {
			return err
		}
	}
	return nil
}

// commit runs a transaction: then if all of when hold, otherwise the rest.
func (s *leaseSession) commit(ctx context.Context, when []clientv3.Cmp, then []clientv3.Op, otherwise ...clientv3.Op) error {
	return s.call(ctx, func(ctx context.Context, cl *clientv3.Client) (revision int64, err error) {
		r, err := cl.Txn(ctx).If(when...).Then(then...).Else(otherwise...).Commit()
		if err != nil {
			return 0, fmt.Errorf("write keys: %w", err)
		}
		return r.Header.Revision, nil
	})
}

// call makes a call and records the revision at which the keys existed.
func (s *leaseSession) call(ctx context.Context, f func(context.Context, *clientv3.Client) (revision int64, err error)) error {
	return s.conn.call(ctx, func(ctx context.Context, cl *clientv3.Client) error {
		revision, err := f(ctx, cl)
		if err != nil {
			return err
		}
		s.reg.seenAt(revision)
		return nil
	})
}
