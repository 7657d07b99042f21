package etcdtest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
	"github.com/easymicro/easymicro/host/hosttest"
)

// An edit of gateway.remote that makes calls to other hosts fail, or leads them nowhere, is undone.
func TestAnEditOfRemoteThatFailsCallsIsUndone(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	_, _ = published(t, server.URL(), "far", "Maths", "Other")
	for _, tt := range []struct{ name, from, to, want string }{
		{"services that leaves the called one out", "services: ['*']", "services: [Other]", "services and routes turned away"},
		{"a cluster that does not answer", "etcd: main,", "etcd: dead,", "services and routes turned away"},
		{"TLS to hosts without", "services: ['*']", "services: ['*'], tls: {serverName: far}", "calls to other hosts (Maths.Mul) fail"},
		{"services that keeps the called one", "services: ['*']", "services: [Maths]", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := hosttest.Start(t, fmt.Sprintf(`
host: {name: gw}
discovery: {etcd: [{name: main, endpoints: [%q]}, {name: dead, endpoints: ["http://127.0.0.1:1"]}]}
gateway: {remote: {etcd: main, services: ['*']}}
policies: {autoRollback: {window: 1s, minRequests: 50}}
`, server.URL()), hosttest.Options{Log: io.Discard})
			soon(t, "the service appears", answers(h, "/Maths/Mul"))
			var ok, failed atomic.Int64
			ctx, stop := context.WithCancel(t.Context())
			var all sync.WaitGroup
			defer all.Wait()
			defer stop()
			for range 4 {
				all.Go(func() {
					for ctx.Err() == nil {
						if r, _, err := h.TryPost("/Maths/Mul", `{"a":1,"b":1}`); err == nil && r.StatusCode == http.StatusOK {
							ok.Add(1)
						} else {
							failed.Add(1)
						}
					}
				})
			}
			soon(t, "calls", func() bool { return ok.Load() > 500 })
			h.Edit("easymicro.yaml", tt.from, tt.to)
			if r := h.Revision(); r.Result != host.ResultApplied {
				t.Fatal(r.Result, r.Problems)
			}
			var r host.Attempt
			soon(t, "a verdict", func() bool {
				list, err := h.Admin.Revisions(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, a := range list {
					if a.Number == 2 && a.Verdict != "" {
						r = a
						return true
					}
				}
				return false
			})
			if undone := r.Result == host.ResultRolledBack; undone != (tt.want != "") || !strings.Contains(r.Verdict, tt.want) {
				t.Errorf("%s: %q, want %q", r.Result, r.Verdict, tt.want)
			}
			if tt.want == "" && failed.Load() > 0 {
				t.Errorf("%d calls failed", failed.Load())
			}
			served := ok.Load()
			soon(t, "calls are served again", func() bool { return ok.Load() > served+100 })
		})
	}
}
