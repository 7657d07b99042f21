package gateway

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// waitReleased waits until nothing of the budget is in use.
func waitReleased(t *testing.T, b *wire.Budget) {
	t.Helper()
	waitUntil(t, func() bool { u := b.Usage(); return u.InFlight == 0 && u.BufferedBytes == 0 }, func() string { return fmt.Sprintf("%+v", b.Usage()) })
}

// waitUntil polls for a condition without an event.
func waitUntil(t *testing.T, ok func() bool, state func() string) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.After(20 * time.Second); !ok(); {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain: %s", state())
		}
	}
}

func isOverloaded(r answered) bool {
	return r.StatusCode == 503 && r.problem.Reason == "overloaded" && r.problem.Code == "UNAVAILABLE" && r.Header.Get("Retry-After") == "1" &&
		r.problem.RetryAfterMS > 0
}

// Callers of one-way calls are answered at once, so only the budget limits how many run.
func TestOneWayCallsCountUntilTheirHandlersReturn(t *testing.T) {
	for _, tc := range []struct {
		name     string
		limits   wire.Limits
		accepted int
		own      bool // limit
	}{
		{"of a connection, fairly", wire.Limits{}, 10, false},
		{"of a connection, by its own limit", wire.Limits{MaxInFlight: 4}, 4, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			leave := make(chan struct{})
			b := &backend{hook: func(ctx context.Context, _, _ *wire.Frame) error {
				Admitted(ctx)
				<-leave
				return nil
			}}
			budget := wire.NewBudget(20, 1<<20)
			var advised atomic.Int64
			addr := serveWithin(t, b, Options{Limits: tc.limits, Refused: func(_, _ string, e *code.Error) {
				if strings.Contains(e.Message, "raise listeners[].limits.maxInFlightPerConnection") {
					advised.Add(1)
				}
			}}, budget)
			end := sync.OnceFunc(func() { close(leave) })
			t.Cleanup(end)
			one := func(c *http.Client, oneWay string) answered {
				req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://"+addr+"/Arith/"+map[string]string{"1": "Hook", "": "Mul"}[oneWay], strings.NewReader(`{"a":1}`))
				if oneWay != "" {
					req.Header.Set("Easymicro-Oneway", oneWay)
				}
				res, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				return read(t, res)
			}
			flood, other := client(t), client(t)
			accepted := 0
			for range 40 {
				if r := one(flood, "1"); r.StatusCode == 202 {
					accepted++
				} else if own := strings.Contains(r.problem.Detail, "the connection has"); !isOverloaded(r) || own != tc.own {
					t.Fatalf("%d %s", r.StatusCode, r.body)
				} else if strings.Contains(r.body, "axInFlight") {
					t.Fatalf("the caller reads of the manifest: %s", r.body)
				}
			}
			if (advised.Load() == int64(40-accepted)) != tc.own {
				t.Errorf("%d of %d refusals advise to allow more", advised.Load(), 40-accepted)
			}
			if refused := budget.Usage().Refused; (refused == 0) != tc.own {
				t.Errorf("%d are counted as refused by the budget", refused)
			}
			if accepted != tc.accepted || int(budget.Usage().InFlight) != accepted {
				t.Errorf("%d were accepted, want %d; %+v", accepted, tc.accepted, budget.Usage())
			}
			if r := one(other, ""); r.StatusCode != 200 {
				t.Errorf("another caller: %d %s", r.StatusCode, r.body)
			}
			end()
			waitReleased(t, budget)
			if r := one(flood, ""); r.StatusCode != 200 {
				t.Errorf("afterwards: %d %s", r.StatusCode, r.body)
			}
		})
	}
}

func client(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func TestStreamsOfHTTP2AreCalls(t *testing.T) {
	leave := make(chan struct{})
	b := &backend{hook: func(context.Context, *wire.Frame, *wire.Frame) error {
		<-leave
		return nil
	}}
	budget := wire.NewBudget(20, 1<<20)
	addr := serveWithin(t, b, Options{}, budget)
	c := h2c(t)
	var calls sync.WaitGroup
	for range 10 {
		calls.Go(func() {
			if res, err := c.Post("http://"+addr+"/Arith/Hook", "", strings.NewReader("{}")); err == nil {
				res.Body.Close()
			}
		})
	}
	waitUntil(t, func() bool { return budget.Usage().InFlight == 10 }, func() string { return fmt.Sprintf("%+v", budget.Usage()) })
	res, err := c.Post("http://"+addr+"/Arith/Mul", "", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if r := read(t, res); !isOverloaded(r) {
		t.Errorf("one more: %d %s", r.StatusCode, r.body)
	}
	if r := do(t, "POST", "http://"+addr+"/Arith/Mul", `{"a":1}`); r.StatusCode != 200 {
		t.Errorf("another caller: %d %s", r.StatusCode, r.body)
	}
	close(leave)
	calls.Wait()
	waitReleased(t, budget)
}

// upload sends half of a request's body on a new connection.
func upload(t *testing.T, addr, body string) (net.Conn, func()) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	half := len(body) / 2
	fmt.Fprintf(conn, "POST /Arith/Mul HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:half])
	return conn, func() { _, _ = io.WriteString(conn, body[half:]) }
}

func statusOf(t *testing.T, conn net.Conn) int {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// If not all bodies fit, the oldest is still read, so that they do not block each other.
func TestBodiesAreChargedAsTheyArrive(t *testing.T) {
	const most = 256 << 10
	budget := wire.NewBudget(0, most)
	addr := serveWithin(t, &backend{}, Options{}, budget)
	others := budget.NewShare(nil) // a single call may use the whole budget
	others.AddBytes(1 << 10)
	body := `{"a":1,"x":"` + strings.Repeat("x", 300<<10) + `"}`
	oldest, rest := upload(t, addr, body+strings.Repeat(" ", 400<<10))
	waitUntil(t, func() bool { return budget.Usage().BufferedBytes > most }, func() string { return fmt.Sprintf("%+v", budget.Usage()) })
	if r := do(t, "POST", "http://"+addr+"/Arith/Mul", body); !isOverloaded(r) {
		t.Errorf("a long body: %d %s", r.StatusCode, r.body)
	}
	bomb, err := wire.AppendCompressed(nil, wire.Gzip, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if r := do(t, "POST", "http://"+addr+"/Arith/Mul", string(bomb), "Content-Encoding: gzip"); !isOverloaded(r) {
		t.Errorf("a body that is long when decompressed: %d %s", r.StatusCode, r.body)
	}
	rest()
	if status := statusOf(t, oldest); status != 200 {
		t.Errorf("the oldest: %d", status)
	}
	if r := do(t, "POST", "http://"+addr+"/Arith/Mul", body[:100]+`"}`); r.StatusCode != 200 {
		t.Errorf("a short one: %d %s", r.StatusCode, r.body)
	}
	others.ReleaseBytes(1 << 10)
	waitReleased(t, budget)
}

// Requests may wait briefly for the budget, except the first one of a connection.
func TestRequestsWaitBrieflyForTheBudget(t *testing.T) {
	const most = 1 << 20
	zipped, err := wire.AppendCompressed(nil, wire.Gzip, []byte(`{"a":1,"x":"`+strings.Repeat("x", 100<<10)+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		body, header string
		proven       bool
		take, give   func(b *wire.Budget, s []*wire.Share)
		want         int
	}{
		"a call":               {body: "{}", proven: true, take: takeCalls, give: giveCalls, want: 200},
		"a first call":         {body: "{}", take: takeCalls, give: giveCalls, want: 503},
		"what is decompressed": {body: string(zipped), header: "Content-Encoding: gzip\r\n", take: takeBytes, give: giveBytes, want: 200},
	} {
		synctest.Test(t, func(t *testing.T) {
			budget := wire.NewBudget(4, most)
			peer, end := pipeTo(t, &backend{}, Options{}, budget)
			defer end()
			answers := bufio.NewReader(peer)
			post := func(body, header string) int {
				go fmt.Fprintf(peer, "POST /Arith/Mul HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", header, len(body), body)
				res, err := http.ReadResponse(answers, nil)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				return res.StatusCode
			}
			if tc.proven && post("{}", "") != 200 {
				t.Fatal("refused at once")
			}
			shares := []*wire.Share{budget.NewShare(nil), budget.NewShare(nil)}
			tc.take(budget, shares)
			time.AfterFunc(50*time.Millisecond, func() { tc.give(budget, shares) })
			if status := post(tc.body, tc.header); status != tc.want {
				t.Errorf("%s: %d, want %d", name, status, tc.want)
			}
			time.Sleep(time.Second)
		})
	}
}

// takeCalls takes all calls of the budget but one.
func takeCalls(b *wire.Budget, shares []*wire.Share) {
	for _, s := range []*wire.Share{shares[0], shares[0], shares[1]} {
		if !s.AcquireCall() {
			panic(fmt.Sprintf("%+v", b.Usage()))
		}
	}
}

func giveCalls(_ *wire.Budget, shares []*wire.Share) {
	shares[0].ReleaseCall()
	shares[0].ReleaseCall()
}

func takeBytes(b *wire.Budget, shares []*wire.Share) { shares[0].AddBytes(b.Usage().MaxBufferedBytes) }

func giveBytes(b *wire.Budget, shares []*wire.Share) {
	shares[0].ReleaseBytes(b.Usage().MaxBufferedBytes)
}

// Peers that request much and read nothing are cut off when their responses use up the host's memory.
func TestUnreadResponsesAreCutForOthers(t *testing.T) {
	const most = 16 << 20
	reply := `"` + strings.Repeat("x", 4<<20) + `"`
	b := &backend{hook: func(_ context.Context, _, res *wire.Frame) error {
		res.Payload = append(res.Payload, reply...)
		return nil
	}}
	budget := wire.NewBudget(0, most)
	addr := serveWithin(t, b, Options{}, budget)
	var silent []net.Conn
	for range 20 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, "POST /Arith/Hook HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
			t.Fatal(err)
		}
		silent = append(silent, conn)
	}
	waitUntil(t, func() bool {
		r := do(t, "POST", "http://"+addr+"/Arith/Mul", `{"a":1,"x":"`+strings.Repeat("x", 64<<10)+`"}`)
		if r.StatusCode != 200 && !isOverloaded(r) {
			t.Fatalf("%d %s", r.StatusCode, r.body)
		}
		return r.StatusCode == 200 && budget.Usage().BufferedBytes < most
	}, func() string { return fmt.Sprintf("%+v", budget.Usage()) })
	for _, conn := range silent {
		conn.Close()
	}
	waitReleased(t, budget)
}

// Bodies that arrive byte by byte block only their own connections, and only for BodyTimeout.
func TestSlowBodiesDoNotBlockOtherConnections(t *testing.T) {
	budget := wire.NewBudget(0, 8<<20)
	addr := serveWithin(t, &backend{}, Options{Limits: wire.Limits{BodyTimeout: 300 * time.Millisecond}}, budget)
	var slow sync.WaitGroup
	for range 200 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "POST /Arith/Mul HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		slow.Go(func() {
			for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
				if _, err := io.WriteString(conn, " "); err != nil {
					tick.Stop()
					return
				}
			}
		})
	}
	for range 50 {
		if r := do(t, "POST", "http://"+addr+"/Arith/Mul", `{"a":73,"b":1500}`); r.body != line {
			t.Fatalf("a caller beside: %d %s", r.StatusCode, r.body)
		}
	}
	slow.Wait() // all have been closed
	waitReleased(t, budget)
}
