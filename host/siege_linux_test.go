package host_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
)

const (
	siegeBudget = 64 << 20               // bytes, of the host
	siegeSlack  = 256 << 20              // that it may use besides; its memory limit is what keeps a fast machine from it
	siegeLog    = 256 << 10              // bytes that it may log in one attack
	siegePause  = 2 * time.Millisecond   // between two calls of a healthy caller
	siegeVisit  = 300 * time.Millisecond // of a peer that goes
	goodNetwork = "127.0.0.2"            // that healthy callers come from
	siegeHost   = `
host: {limits: {maxInFlight: 5000, maxBufferedBytes: 64MiB}, memory: {limit: 256MiB}, shutdown: {drainDelay: 0s, gracePeriod: 1s}}
services: [{name: Arith, handler: test.arith}, {name: Crash, handler: test.crash}, {name: Load, handler: test.load}]
listeners: [{name: main, address: "127.0.0.1:0"}]
health: {address: "127.0.0.1:0"}
`
)

// siege is a host in a process of its own, and callers that take no part in the attack.
type siege struct {
	*child
	healthy map[string]func(context.Context) error
}

// besiege starts the host. With newcomers some healthy callers have no connection yet, which must be had then.
func besiege(t *testing.T, manifest string, descriptors int, newcomers bool) *siege {
	t.Helper()
	s := &siege{child: startChild(t, manifest, descriptors)}
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(goodNetwork)}}
	mul := func(ctx context.Context, c *wire.Conn) error {
		var r reply
		err := hosttest.CallJSON(ctx, c, "Arith", "Mul", args{2, 3}, &r)
		if err == nil && r.C != 6 {
			err = fmt.Errorf("2 times 3 is %d", r.C)
		}
		return err
	}
	dial := func(ctx context.Context) (*wire.Conn, error) {
		c, err := dialer.DialContext(ctx, "tcp", s.Main)
		if err != nil {
			return nil, err
		}
		_ = c.(*net.TCPConn).SetLinger(0) // or so many would leave no local port to be had
		return wire.NewConn(c, wire.ConnOptions{}), nil
	}
	conn, err := dial(t.Context())
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	over := func(http1 bool) func(context.Context) error {
		p := new(http.Protocols)
		p.SetHTTP1(http1)
		p.SetUnencryptedHTTP2(!http1)
		client := &http.Client{Transport: &http.Transport{Protocols: p, DialContext: dialer.DialContext}}
		t.Cleanup(client.CloseIdleConnections)
		return func(ctx context.Context) error {
			return post(ctx, client, "http://"+s.Main+"/Arith/Mul", `{"A":2,"B":3}`)
		}
	}
	s.healthy = map[string]func(context.Context) error{
		"rpcx": func(ctx context.Context) error { return mul(ctx, conn) }, "http": over(true), "h2c": over(false),
	}
	if newcomers {
		s.healthy["rpcx anew"] = func(ctx context.Context) error {
			c, err := dial(ctx)
			if err != nil {
				return err
			}
			defer c.Close()
			return mul(ctx, c)
		}
	}
	// How long the answers of methods are is known from then on.
	must(t, post(t.Context(), http.DefaultClient, "http://"+s.Main+"/Load/Big", `{"A":3900}`))
	must(t, post(t.Context(), http.DefaultClient, "http://"+s.Main+"/Load/Echo", `"`+strings.Repeat("x", 64<<10)+`"`))
	http.DefaultClient.CloseIdleConnections()
	for name, call := range s.healthy { // also opens the connections
		if err := call(t.Context()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return s
}

// post calls a method over HTTP.
func post(ctx context.Context, client *http.Client, url, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s", res.Status, text)
	}
	return err
}

// withstand has attacks go on for some time once each has begun, all at once, and checks what others notice of them.
func (s *siege) withstand(t *testing.T, long time.Duration, attacks ...attack) {
	t.Helper()
	s.forgetPeak(t)
	logged, open := len(s.log.String()), s.descriptors(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var busy sync.WaitGroup
	strikes := make([]strike, len(attacks))
	for i, a := range attacks {
		strikes[i].ctx, strikes[i].address, strikes[i].begun = ctx, s.Main, make(chan struct{})
		if a.admin {
			strikes[i].address = s.Admin
		}
		for range a.peers {
			busy.Go(func() {
				for ctx.Err() == nil {
					a.act(&strikes[i])
				}
			})
		}
	}
	busy.Go(func() {
		await(strikes, slack*patience)
		time.AfterFunc(long, stop)
	})
	callers := s.call(ctx, t, &busy)
	urls := []string{s.Health + "/livez", s.Health + "/readyz"}
	if !slices.ContainsFunc(attacks, func(a attack) bool { return a.admin }) {
		urls = append(urls, s.Admin+"/api/v1/status")
	}
	asked := s.ask(ctx, t, urls)
	busy.Wait()
	slices.Sort(callers.waits)
	slices.Sort(asked)
	s.rest(t, open)
	peak := s.peak(t)
	t.Logf("%d healthy calls, p99 %v, %d failed; operators waited %v at the median, %v at most; %d MiB at most", len(callers.waits),
		callers.waits[len(callers.waits)*99/100].Round(time.Microsecond), callers.failed.Load(),
		asked[len(asked)/2].Round(time.Microsecond), asked[len(asked)-1].Round(time.Microsecond), peak>>20)
	for i := range strikes {
		if strikes[i].sent.Load() == 0 {
			t.Errorf("%s has not sent a byte", attacks[i].name)
		}
	}
	if peak > siegeBudget+siegeSlack && !raceEnabled {
		t.Errorf("%d MiB were used", peak>>20)
	}
	if n := len(s.log.String()) - logged; n > siegeLog {
		t.Errorf("%d KiB were logged", n>>10)
	}
}

// await returns when each strike has sent its first byte or most has passed.
func await(strikes []strike, most time.Duration) {
	late := time.NewTimer(most)
	defer late.Stop()
	for i := range strikes {
		select {
		case <-strikes[i].begun:
		case <-late.C:
			return
		}
	}
}

// callers is what healthy callers have met.
type callers struct {
	failed atomic.Int64
	mu     sync.Mutex
	waits  []time.Duration
}

// call has each healthy caller call until ctx ends, and at least once.
func (s *siege) call(ctx context.Context, t *testing.T, busy *sync.WaitGroup) *callers {
	c := new(callers)
	for name, call := range s.healthy {
		busy.Go(func() {
			tick := time.NewTicker(siegePause)
			defer tick.Stop()
			for again := true; again; again = ctx.Err() == nil {
				within, cancel := context.WithTimeout(t.Context(), slack*patience)
				begin := time.Now()
				if err := call(within); err != nil && c.failed.Add(1) < 5 {
					t.Errorf("%s, after %v: %v", name, time.Since(begin), err)
				}
				cancel()
				c.mu.Lock()
				c.waits = append(c.waits, time.Since(begin))
				c.mu.Unlock()
				<-tick.C
			}
		})
	}
	return c
}

// ask returns how long operators and kubelets have waited for answers until ctx ended.
func (s *siege) ask(ctx context.Context, t *testing.T, urls []string) (waits []time.Duration) {
	t.Helper()
	for again := true; again; again = ctx.Err() == nil {
		for _, url := range urls {
			_, took := answers(t, "http://"+url)
			waits = append(waits, took)
		}
	}
	return waits
}

// rest waits until the host holds nothing any more: no call, no bytes, no descriptor. It fails if nothing changes for a minute.
func (s *siege) rest(t *testing.T, open int) {
	t.Helper()
	client := &admin.Client{Address: s.Admin}
	var last admin.Budget
	files, begin := 0, time.Now()
	for changed := begin; time.Since(changed) < time.Minute; {
		status, err := client.Status(t.Context())
		must(t, err)
		if status.Budget != last {
			changed = time.Now()
		}
		last, files = status.Budget, s.descriptors(t)
		if last.InFlight == 0 && last.BufferedBytes < 1<<20 && files <= open+4 { // operators have some
			if took := time.Since(begin); took > 2*time.Second {
				t.Logf("at rest after %v", took.Round(time.Millisecond))
			}
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("not at rest: %+v, %d descriptors after %d", last, files, open)
}

// forgetPeak has peak count from now on.
func (s *siege) forgetPeak(t *testing.T) {
	t.Helper()
	must(t, os.WriteFile(s.proc("clear_refs"), []byte("5"), 0))
}

// peak is the most memory that the host has had, in bytes.
func (s *siege) peak(t *testing.T) (n int64) {
	t.Helper()
	text, err := os.ReadFile(s.proc("status"))
	must(t, err)
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	if _, err := fmt.Sscan(after, &n); err != nil {
		t.Fatal(err)
	}
	return n << 10
}

func (s *siege) descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir(s.proc("fd"))
	must(t, err)
	return len(all)
}

func (s *siege) proc(name string) string { return fmt.Sprintf("/proc/%d/%s", s.PID, name) }
