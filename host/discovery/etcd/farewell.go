package etcd

import (
	"context"
	"maps"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// leave takes back those keys of before that are not to stay. First it says of them that they go: whoever sees that does
// not wait for them to come back.
func (t *tenancy) leave(ctx context.Context, before, stay map[string]entry) error {
	gone, known := map[string]entry{}, maps.Clone(stay)
	var deletions []clientv3.Op
	for key, e := range before {
		if _, still := stay[key]; still {
			continue
		}
		gone[key] = e
		known[key] = entry{key: key, value: e.farewell, farewell: e.farewell} // should it be wanted again before it is gone
		deletions = append(deletions, deletion(key, t.id))
	}
	t.r.wrote(known)
	for _, ops := range [][]clientv3.Op{farewells(gone, t.id), deletions} {
		for some := range slices.Chunk(ops, maxOps) {
			if err := t.commit(ctx, nil, some); err != nil {
				return err
			}
		}
	}
	return nil
}

// farewells say of keys that they are about to go, as far as they belong to the lease. Two transactions are needed: of
// what happens in one, only the end is seen.
func farewells(keys map[string]entry, lease clientv3.LeaseID) []clientv3.Op {
	ops := make([]clientv3.Op, 0, len(keys))
	for key, e := range keys {
		ours := []clientv3.Cmp{clientv3.Compare(clientv3.LeaseValue(key), "=", lease)}
		ops = append(ops, clientv3.OpTxn(ours, []clientv3.Op{clientv3.OpPut(key, e.farewell, clientv3.WithLease(lease))}, nil))
	}
	return ops
}

// deletion deletes a key if it belongs to the lease.
func deletion(key string, lease clientv3.LeaseID) clientv3.Op {
	ours := []clientv3.Cmp{clientv3.Compare(clientv3.LeaseValue(key), "=", lease)}
	return clientv3.OpTxn(ours, []clientv3.Op{clientv3.OpDelete(key)}, nil)
}
