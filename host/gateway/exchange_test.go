package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// waitFor fails the test if c does not deliver.
func waitFor[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

func late() *code.Error {
	return code.Refuse(code.DeadlineExceeded, code.ReasonTimeout, "timeout", "slow@r3", host, 0)
}

func TestTheCallerIsAnsweredAtTheDeadlineWhileTheHandlerRuns(t *testing.T) {
	leave, payload := make(chan struct{}), make(chan string, 1)
	b := &backend{hook: func(ctx context.Context, req, _ *wire.Frame) error {
		wire.CallFrom(ctx).ExpireAt(time.Now().Add(time.Millisecond), wire.ExpirerFunc(late))
		<-leave
		payload <- string(req.Payload)
		return nil
	}}
	url := "http://" + serve(t, b, Options{})
	r := do(t, "POST", url+"/Arith/Hook", `{"a":11111}`)
	if r.StatusCode != 504 || r.problem.Reason != "timeout" || r.problem.Rule != "slow@r3" {
		t.Fatalf("%d %s", r.StatusCode, r.body)
	}
	for range 50 { // other calls start and end, but the memory of the running one is not reused
		if r := do(t, "POST", url+"/Arith/Mul", `{"a":73,"b":1500}`); r.body != line {
			t.Fatalf("the next call: %d %s", r.StatusCode, r.body)
		}
	}
	close(leave)
	if got := waitFor(t, payload, "the late handler"); got != `{"a":11111}` {
		t.Errorf("its payload became %s", got)
	}
}

func TestAnEarlyResponseEndsTheHTTP2Stream(t *testing.T) {
	leave := make(chan struct{})
	defer close(leave)
	b := &backend{hook: func(ctx context.Context, _, _ *wire.Frame) error {
		wire.CallFrom(ctx).ExpireAt(time.Now().Add(time.Millisecond), wire.ExpirerFunc(late))
		<-leave
		return nil
	}}
	addr := serve(t, b, Options{})
	client := h2c(t)
	res, err := client.Post("http://"+addr+"/Arith/Hook", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.ProtoMajor != 2 || res.StatusCode != 504 {
		t.Errorf("%s %d", res.Proto, res.StatusCode)
	}
}

func h2c(t *testing.T) *http.Client {
	t.Helper()
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	tr := &http.Transport{Protocols: p}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second}
}

func TestADisconnectCancelsTheCall(t *testing.T) {
	started, ended := make(chan struct{}), make(chan error, 1)
	b := &backend{hook: func(ctx context.Context, _, _ *wire.Frame) error {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}}
	addr := serve(t, b, Options{})
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /Arith/Hook HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
	waitFor(t, started, "the call")
	conn.Close()
	if err := waitFor(t, ended, "the end of the call"); !errors.Is(err, context.Canceled) {
		t.Errorf("the call ended with %v", err)
	}
}

func TestOneWayIsAcceptedAfterTheRules(t *testing.T) {
	leave, ended := make(chan struct{}), make(chan error, 1)
	b := &backend{hook: func(ctx context.Context, req, _ *wire.Frame) error {
		if string(req.Payload) == "{}" {
			return code.Refuse(code.ResourceExhausted, code.ReasonRateLimited, "rate limited", "r@r1", host, time.Second)
		}
		if !req.OneWay {
			return errors.New("not one-way")
		}
		Admitted(ctx)
		<-leave
		ended <- ctx.Err()
		return errors.New("nobody hears this")
	}}
	url := "http://" + serve(t, b, Options{}) + "/Arith/Hook"
	for _, family := range []string{"X-RPCX-", "Easymicro-"} {
		r := do(t, "POST", url, `{"a":1}`, family+"Oneway: 1", family+"MessageID: 9")
		if r.StatusCode != 202 || r.body != "" || r.Header.Get(family+"Messageid") != "9" {
			t.Errorf("%s: %d %s %s", family, r.StatusCode, r.Header, r.body)
		}
		if r := do(t, "POST", url, "{}", family+"Oneway: true"); r.StatusCode != 429 {
			t.Errorf("%s: refused with %d", family, r.StatusCode)
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	close(leave)
	for range 2 {
		if err := waitFor(t, ended, "a one-way call"); err != nil {
			t.Errorf("a one-way call was cancelled: %v", err)
		}
	}
}

func TestOneWayWithoutAdmittedIsAcceptedWhateverTheHandlerReturns(t *testing.T) {
	url := "http://" + serve(t, &backend{}, Options{})
	for path, want := range map[string]int{"/Arith/Mul": 202, "/Arith/Div": 202, "/Arith/Nope": 404} {
		if r := do(t, "POST", url+path, `{"a":1}`, "X-RPCX-Oneway: 1"); r.StatusCode != want {
			t.Errorf("%s: %d %s", path, r.StatusCode, r.body)
		}
	}
}

func TestABodyThatNeverArrivesTimesOut(t *testing.T) {
	addr := serve(t, &backend{}, Options{Limits: wire.Limits{BodyTimeout: 20 * time.Millisecond}})
	for _, path := range []string{"/Arith/Mul", "/nothing/here/at-all"} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", path)
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		res.Body.Close()
		if want := map[bool]int{true: 408, false: 404}[path == "/Arith/Mul"]; res.StatusCode != want {
			t.Errorf("%s: status %d, want %d", path, res.StatusCode, want)
		}
	}
}
