package etcdtest_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/wire/client"
)

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", parallel) // the tests mostly wait
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

const patience = max(slack/3, 1) * 30 * time.Second

// cluster opens a cluster that is closed with the test.
func cluster(t *testing.T, o etcd.Options) *etcd.Cluster {
	t.Helper()
	if o.Name == "" {
		o.Name = "main"
	}
	c, err := etcd.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// watched holds the last update of a watch.
type watched struct {
	t       *testing.T
	mu      sync.Mutex
	list    []client.Endpoint
	updates int
	lost    []string // lists shorter than steady
	steady  int
	err     error
	changed chan struct{}
}

func watch(t *testing.T, c *etcd.Cluster, service string) *watched {
	t.Helper()
	w := &watched{t: t, changed: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := c.Watch(ctx, service, w.update); err != nil {
			t.Errorf("watch %s: %v", service, err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

func (w *watched) update(list []client.Endpoint, err error) {
	w.mu.Lock()
	w.err = err
	if err == nil {
		w.list = list
		w.updates++
		if len(list) < w.steady {
			w.lost = append(w.lost, fmt.Sprint(time.Now().Format("04:05.000 "), list))
		}
	}
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *watched) addresses() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := []string{}
	for _, e := range w.list {
		list = append(list, e.Address)
	}
	return list
}

// want waits until exactly these addresses are known, in any order.
func (w *watched) want(addresses ...string) {
	w.t.Helper()
	addresses = slices.Sorted(slices.Values(addresses)) // like the lists
	eventually(w.t, w.changed, func() bool { return slices.Equal(w.addresses(), addresses) }, func() any { return w.addresses() })
}

// keeps checks, until the test ends, that the list never loses more than half: lost endpoints count as long as fewer are
// live.
func (w *watched) keeps() {
	w.mu.Lock()
	w.steady = (len(w.list) + 1) / 2
	w.mu.Unlock()
	w.t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, l := range w.lost {
			w.t.Errorf("endpoints were lost: %s", l)
		}
	})
}

func (w *watched) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// eventually waits for ok, checking after every update and at intervals.
func eventually(t *testing.T, news <-chan struct{}, ok func() bool, got func() any) {
	t.Helper()
	deadline := time.After(patience)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-news:
		case <-look.C:
		case <-deadline:
			t.Fatalf("it never came to that; last: %v", got())
		}
	}
}

// within checks that ok becomes true in time.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	start := time.Now()
	eventually(t, nil, ok, func() any { return what })
	if took := time.Since(start); took > slack*limit {
		t.Errorf("%s took %v, longer than %v", what, took.Round(time.Millisecond), limit)
	} else {
		t.Logf("%s took %v", what, took.Round(time.Millisecond))
	}
}

func registered(t *testing.T, c *etcd.Cluster) {
	t.Helper()
	eventually(t, nil, func() bool { return c.Status().Registered }, func() any { return c.Status() })
}

func instance(service, address string) etcd.Instance {
	return etcd.Instance{Service: service, Address: address}
}
