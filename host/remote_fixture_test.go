package host_test

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire/client"
)

// yard is a discovery that the test itself fills.
type yard struct {
	mu       sync.Mutex
	services map[string][]client.Endpoint
	changed  chan struct{}
	version  int // of services
	told     int // the version that a gateway has seen
}

func newYard() *yard {
	return &yard{services: map[string][]client.Endpoint{}, changed: make(chan struct{})}
}

// put sets where a service is; without addresses it removes the service.
func (y *yard) put(service string, addresses ...string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	delete(y.services, service)
	for _, a := range addresses {
		y.services[service] = append(y.services[service], client.Endpoint{Address: a})
	}
	y.change()
}

func (y *yard) change() {
	close(y.changed)
	y.changed = make(chan struct{})
	y.version++
}

func (y *yard) follow(ctx context.Context, tell func()) error {
	for {
		y.mu.Lock()
		changed := y.changed
		y.mu.Unlock()
		tell()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (y *yard) Watch(ctx context.Context, service string, update func([]client.Endpoint, error)) error {
	return y.follow(ctx, func() {
		y.mu.Lock()
		list := y.services[service]
		y.mu.Unlock()
		update(list, nil)
	})
}

func (y *yard) Missing() []string { return nil }

func (y *yard) WatchServices(ctx context.Context, update func([]string, error)) error {
	return y.follow(ctx, func() {
		y.mu.Lock()
		names, version := slices.Sorted(maps.Keys(y.services)), y.version
		y.mu.Unlock()
		update(names, nil)
		y.mu.Lock()
		y.told = version
		y.mu.Unlock()
	})
}

// swap replaces all services, and returns when a gateway has seen the update.
// Nobody looks at the gateway for that: what it makes of a list it makes when it is asked.
func (y *yard) swap(t testing.TB, services map[string][]client.Endpoint) (before map[string][]client.Endpoint) {
	t.Helper()
	y.mu.Lock()
	before, y.services = y.services, services
	y.change()
	version := y.version
	y.mu.Unlock()
	eventually(t, "the gateway is told", func() bool {
		y.mu.Lock()
		defer y.mu.Unlock()
		return y.told >= version
	})
	return before
}

// standalone starts a gateway without services of its own over y. The rest of its manifest and its rules are more.
func standalone(t testing.TB, y *yard, more string, o hosttest.Options) *hosttest.Host {
	t.Helper()
	h := hosttest.Start(t, `
host: {name: gw}
discovery: {etcd: [{name: main, endpoints: ["http://127.0.0.1:1"]}]}
`+more, o)
	must(t, host.LeadTo(h.Host, y))
	return h
}

const toAll = "gateway: {remote: {etcd: main, services: ['*']}}\n"

// problemOf is the body of an error.
func problemOf(t *testing.T, r *http.Response, body string) (p struct {
	Status                                            int
	Code, Reason, Rule, Service, Method, Host, Detail string
	RetryAfterMS                                      int64 `json:"retry_after_ms"`
},
) {
	t.Helper()
	if got := r.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("%d %s: %s", r.StatusCode, got, body)
	}
	must(t, json.Unmarshal([]byte(body), &p))
	return p
}
