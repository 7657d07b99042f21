package cli_test

import (
	"context"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// flood is a caller that calls without a pause.
type flood struct {
	mu      sync.Mutex
	answers []int // HTTP status codes
	grown   chan struct{}
}

var floods sync.Map // *flood by the directory of its script

// flooding starts a flood: flood TOKENFILE METHOD. It ends with the script.
func flooding(ts *testscript.TestScript, _ bool, args []string) {
	token, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	f := &flood{grown: make(chan struct{})}
	floods.Store(ts.Getenv("WORK"), f)
	ctx, stop := context.WithCancel(context.Background())
	url, auth := "http://"+ts.Getenv("ADDR")+"/"+strings.Replace(args[1], ".", "/", 1), "Bearer "+strings.TrimSpace(string(token))
	var calling sync.WaitGroup
	client := &http.Client{Transport: new(http.Transport)}
	for range 2 {
		calling.Go(func() {
			for ctx.Err() == nil {
				f.call(ctx, client, url, auth)
			}
		})
	}
	ts.Defer(func() {
		stop()
		calling.Wait()
		client.CloseIdleConnections()
	})
}

func (f *flood) call(ctx context.Context, client *http.Client, url, auth string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"a":1,"b":2}`))
	if err != nil {
		return
	}
	req.Header.Set("Authorization", auth)
	res, err := client.Do(req)
	if err != nil {
		return
	}
	_ = res.Body.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers = append(f.answers, res.StatusCode)
	close(f.grown)
	f.grown = make(chan struct{})
}

// answered waits until most of the next hundred calls of the flood get a status: answered STATUS.
func answered(ts *testscript.TestScript, _ bool, args []string) {
	v, _ := floods.Load(ts.Getenv("WORK"))
	f, ok := v.(*flood)
	if !ok {
		ts.Fatalf("flood must run first")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	late := time.After(patience)
	f.mu.Lock()
	first := len(f.answers)
	f.mu.Unlock()
	for {
		f.mu.Lock()
		next, grown := f.answers[first:], f.grown
		n := 0
		for _, got := range next {
			if got == want {
				n++
			}
		}
		f.mu.Unlock()
		if len(next) >= 100 {
			if n > len(next)/2 {
				return
			}
			first += len(next)
		}
		select {
		case <-grown:
		case <-late:
			ts.Fatalf("the flood gets %v, want %d", next[max(0, len(next)-10):], want)
		}
	}
}

// The 3 a.m. story with the binary: find the caller, limit it, see that it works, write the rule.
func TestIncidents(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/incident",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "serve": serve, "screen": onScreen, "log": inLog, "send": send, "ended": ended,
			"flood": flooding, "answered": answered,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}
