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
	answers []answer
	grown   chan struct{}
}

// answer is the answer to a call of a flood.
type answer struct {
	status     int // of HTTP
	begun, got time.Time
}

func (a answer) String() string { return strconv.Itoa(a.status) }

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
	begun := time.Now()
	res, err := client.Do(req)
	if err != nil {
		return
	}
	_ = res.Body.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers = append(f.answers, answer{res.StatusCode, begun, time.Now()})
	close(f.grown)
	f.grown = make(chan struct{})
}

// next returns the answers from the first one on, and a channel that is closed once there are more.
func (f *flood) next(first int) ([]answer, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers[first:], f.grown
}

func floodOf(ts *testscript.TestScript) *flood {
	v, _ := floods.Load(ts.Getenv("WORK"))
	f, ok := v.(*flood)
	if !ok {
		ts.Fatalf("flood must run first")
	}
	return f
}

// shown waits until a call that begins after the command before gets a status, and logs how long that took: shown STATUS WHAT.
func shown(ts *testscript.TestScript, _ bool, args []string) {
	returned, f := time.Now(), floodOf(ts)
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	late := time.After(patience)
	for first := 0; ; {
		next, grown := f.next(first)
		for _, a := range next {
			if a.status == want && a.begun.After(returned) {
				ts.Logf("%s after %s", strings.Join(args[1:], " "), a.got.Sub(returned).Round(10*time.Microsecond))
				return
			}
		}
		first += len(next)
		select {
		case <-grown:
		case <-late:
			ts.Fatalf("%s: after %s no call gets %d, but %v", strings.Join(args[1:], " "), patience, want, f.last())
		}
	}
}

// last returns the last answers.
func (f *flood) last() []answer {
	all, _ := f.next(0)
	return all[max(0, len(all)-10):]
}

// answered waits until most of the next hundred calls of the flood get a status: answered STATUS.
func answered(ts *testscript.TestScript, _ bool, args []string) {
	f := floodOf(ts)
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	late := time.After(patience)
	all, _ := f.next(0)
	for first := len(all); ; {
		next, grown := f.next(first)
		n := 0
		for _, a := range next {
			if a.status == want {
				n++
			}
		}
		if len(next) >= 100 {
			if n > len(next)/2 {
				return
			}
			first += len(next)
		}
		select {
		case <-grown:
		case <-late:
			ts.Fatalf("the flood gets %v, want %d", f.last(), want)
		}
	}
}

// The 3 a.m. story with the binary: find the caller, limit it, see that it works, write the rule. The calls that follow a command show
// its effect.
func TestIncidents(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/incident",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "serve": serve, "screen": onScreen, "log": inLog, "send": send, "ended": ended,
			"flood": flooding, "answered": answered, "shown": shown,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}
