package etcd

import (
	"context"
	"testing"
)

// A missing key is checked again after a failure, even if nothing has changed in etcd.
func TestAFailedRestoreIsRetried(t *testing.T) {
	for name, version := range map[string]int{"a round that fails": 1, "a change that has to be written first": 0} {
		cl, err := New(Options{Endpoints: []string{"http://10.0.0.1:2379"}})
		if err != nil {
			t.Fatal(err)
		}
		r := cl.registration
		r.version, r.missing = 1, true
		over, cancel := context.WithCancel(t.Context())
		cancel()
		_, _ = (&leaseSession{conn: cl.conn, reg: r, id: 7, version: version}).reconcile(over)
		if !r.missing {
			t.Errorf("%s: forgotten", name)
		}
		_ = cl.Close()
	}
}
