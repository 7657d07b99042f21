package discovery

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/easymicro/easymicro/wire/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ client.Resolver = (*StaticResolver)(nil)
	_ client.Resolver = (*FileResolver)(nil)
	_ client.Resolver = (*DNSResolver)(nil)
)

// answer is one update of a watch.
type answer struct {
	list []client.Endpoint
	err  error
}

func (a answer) String() string {
	if a.err != nil {
		return a.err.Error()
	}
	var words []string
	for _, e := range a.list {
		words = append(words, e.Network+"@"+e.Address)
	}
	return strings.Join(words, " ")
}

// updates watches until the test ends and returns a channel of updates.
func updates(t *testing.T, r client.Resolver) <-chan answer {
	t.Helper()
	ch := make(chan answer, 100)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.Watch(ctx, "Arith", func(list []client.Endpoint, err error) { ch <- answer{list, err} }); err != nil {
			t.Errorf("watch: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return ch
}

func next(t *testing.T, ch <-chan answer) answer {
	t.Helper()
	select {
	case a := <-ch:
		return a
	case <-time.After(20 * time.Second):
		t.Fatal("no update")
		return answer{}
	}
}

func want(t *testing.T, ch <-chan answer, text string) {
	t.Helper()
	if got := next(t, ch); got.String() != text {
		t.Fatalf("got %q, want %q", got, text)
	}
}

func TestStaticReportsItsListOnce(t *testing.T) {
	l, err := Static("tcp://10.0.0.5:8972", "billing:8972", "unix:///run/billing.sock", "[::1]:8972")
	if err != nil {
		t.Fatal(err)
	}
	ch := updates(t, l)
	want(t, ch, "tcp@10.0.0.5:8972 tcp@billing:8972 unix@/run/billing.sock tcp@[::1]:8972")
	select {
	case a := <-ch:
		t.Errorf("unexpected update %v", a)
	default:
	}
}

func TestAddressesThatCannotBeCalledAreRefused(t *testing.T) {
	for address, want := range map[string]string{
		"":                 "is empty",
		"billing":          "has no port",
		":8972":            "has no host",
		"tcp://:8972":      "has no host",
		"billing:0":        "port 0",
		"billing:99999":    "65535",
		"http://billing:1": "unsupported scheme http://",
		"systemd:main":     "cannot be called",
		"/run/x.sock":      "did you mean unix:///run/x.sock?",
		"a:1":              "twice",
	} {
		_, err := Static("a:1", address)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "endpoint 2: ") {
			t.Errorf("%q: %v, want %s", address, err, want)
		}
	}
}

func TestWatchesEndWithTheirContext(t *testing.T) {
	list, err := Static("a:1")
	if err != nil {
		t.Fatal(err)
	}
	names, err := DNS("localhost:1", DNSOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []client.Resolver{list, names, File("none.yaml", FileOptions{})} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Watch(ctx, "Arith", func([]client.Endpoint, error) {}); err != nil {
			t.Errorf("%T: %v", r, err)
		}
	}
}
