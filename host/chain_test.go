package host_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// weather is a handler that fails when its caller says so.
type weather struct{}

func (weather) Mul(_ context.Context, a *args, r *reply) error {
	if a.A == 0 {
		return code.Errorf(code.Unavailable, "it rains")
	}
	r.C = a.A * a.B
	return nil
}

// chained returns the manifest of an edit: it changes with n what other edits leave as it is.
func chained(n int, limit string) string {
	return fmt.Sprintf(`
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: ""}
services:
  - {name: Arith, handler: test.weather}
  - {name: Limited, handler: test.weather}
  - {name: Failing, handler: test.weather}
policies:
  rules:
    - {name: limit, description: "edit %d", match: {service: Arith}, rateLimit: {rate: %s}}
    - {name: saturated, match: {service: Limited}, rateLimit: {rate: %d, burst: 1}}
    - {name: time, match: {service: Arith}, timeout: %dms}
    - {name: nobody, match: {service: Arith, caller: nobody-%d}, rateLimit: {rate: 5}}
    - {name: failing, match: {service: Failing}, rateLimit: {rate: 1000}}
`, n, limit, 10+n/2%2, 1000+n, n/5)
}

// chainedHost is a host without listeners, and what its edits have led to.
type chainedHost struct {
	*host.Host
	t      *testing.T
	n      int // edits
	calls  int
	undone []string
}

func newChainedHost(t *testing.T) *chainedHost {
	reg := registry.New()
	registry.Plain(weather{}, registry.In(reg), registry.As("test.weather"))
	c := &chainedHost{t: t}
	h, err := host.Open(t.Context(), setOf(t, "0", chained(0, "10000")), host.Options{Registry: reg, OnAttempt: func(r host.Attempt) {
		if r.Source == host.SourceAutoRollback {
			c.undone = append(c.undone, r.Why)
		}
	}})
	must(t, err)
	c.Host = h
	return c
}

// edit makes the next edit.
func (c *chainedHost) edit(limit string) {
	c.t.Helper()
	c.n++
	if _, err := c.Apply(c.t.Context(), setOf(c.t, fmt.Sprint(c.n), chained(c.n, limit))); err != nil {
		c.t.Fatal(err)
	}
}

// serve has calls arrive for some time: 50 a second for each service, of which one in ten fails, and in every other minute all
// of the service that no edit is about.
func (c *chainedHost) serve(d time.Duration) {
	c.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		c.calls++
		c.call("Arith", c.calls%10 == 0)
		c.call("Limited", false)
		c.call("Failing", time.Now().Minute()%2 == 0)
	}
	synctest.Wait()
}

func (c *chainedHost) call(service string, fails bool) {
	payload := `{"A":2,"B":3}`
	if fails {
		payload = `{"A":0}`
	}
	_ = c.Handle(c.t.Context(), &wire.Frame{Service: service, Method: "Mul", Codec: wire.JSON, Payload: []byte(payload)}, new(wire.Frame))
}

// Edits every five seconds are a chain of windows that never end by themselves. None is undone unless it refuses calls.
func TestEditsEveryFiveSecondsAreKept(t *testing.T) {
	d := 10 * time.Minute
	switch {
	case os.Getenv("TEST_EASYMICRO_LONG") != "":
		d = 2 * time.Hour
	case testing.Short():
		d = 2 * time.Minute
	}
	synctest.Test(t, func(t *testing.T) {
		c := newChainedHost(t)
		defer c.Close()
		for end := time.Now().Add(d); time.Now().Before(end); c.serve(5 * time.Second) {
			c.edit("10000")
		}
		if len(c.undone) > 0 {
			t.Errorf("%d of %d edits were undone: %s", len(c.undone), c.n, c.undone[0])
		}
		t.Logf("%d edits in %v, %d calls of each service", c.n, d, c.calls)
		c.edit("1")
		c.serve(5 * time.Second)
		if len(c.undone) != 1 || !strings.Contains(c.undone[0], "limit refused ") {
			t.Errorf("undone: %q", c.undone)
		}
	})
}

// A bad edit is observed for a whole window, or until the next edit, however old the chain of edits is.
func TestABadEditIsUndoneWhereverInAChainItComes(t *testing.T) {
	moments := []time.Duration{0, 101 * time.Second, 50 * time.Second, 99 * time.Second, 99900 * time.Millisecond, 99990 * time.Millisecond, 203 * time.Second}
	if testing.Short() {
		moments = moments[:2]
	}
	for _, after := range moments {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChainedHost(t)
				defer c.Close()
				c.serve(10 * time.Second)
				for left := after; left > 0; left -= 5 * time.Second {
					c.edit("10000")
					c.serve(min(left, 5*time.Second))
				}
				c.edit("1")
				c.serve(20 * time.Second)
				if len(c.undone) != 1 || !strings.Contains(c.undone[0], "limit refused ") {
					t.Errorf("undone: %q", c.undone)
				}
			})
		})
	}
}
