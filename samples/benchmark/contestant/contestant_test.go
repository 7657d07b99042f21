package contestant

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

func TestClosedLoopCountsWhatEndsInTheDuration(t *testing.T) {
	var calls atomic.Int64
	call := func() error {
		calls.Add(1)
		time.Sleep(time.Millisecond)
		return nil
	}
	var phases []bool
	r := closedLoop([]func() error{call, call}, 20*time.Millisecond, 100*time.Millisecond, func(on bool) { phases = append(phases, on) })
	if r.Calls == 0 || r.Calls >= calls.Load() || r.Errors != 0 || r.LatencyUs.P50 < 1000 || r.Seconds < 0.1 || r.Counters == nil {
		t.Errorf("%+v of %d calls", r, calls.Load())
	}
	if len(phases) != 2 || !phases[0] || phases[1] {
		t.Errorf("phases %v", phases)
	}
}

func TestErrorsAreCounted(t *testing.T) {
	failure := errors.New("refused")
	call := func() error {
		time.Sleep(time.Millisecond)
		return failure
	}
	r := closedLoop([]func() error{call}, 0, 10*time.Millisecond, func(bool) {})
	if r.Calls != 0 || r.Errors == 0 || r.FirstErr != failure.Error() {
		t.Errorf("%+v", r)
	}
}

// One call hangs for 100 ms. A closed loop would have one slow call; here those that were due meanwhile are late as well.
func TestOpenLoopDoesNotOmitCallsThatWait(t *testing.T) {
	const (
		rate  = 1000
		pause = 100 * time.Millisecond
		total = 400
	)
	n := 0
	call := func() error {
		if n++; n == total/2 {
			time.Sleep(pause)
		}
		return nil
	}
	r := openLoop([]func() error{call}, rate, 0, total*time.Second/rate, func(bool) {})
	if r.Calls != total || r.Errors != 0 {
		t.Fatalf("%+v", r)
	}
	if r.LatencyUs.P99 < 80_000 || r.LateUs.P99 < 80_000 {
		t.Errorf("the 99th percentile is %v µs of latency and %v µs late, want nearly %v", r.LatencyUs.P99, r.LateUs.P99, pause)
	}
}

func TestPercentiles(t *testing.T) {
	r := newRecorder()
	for i := range 10_000 {
		r.record(i, time.Duration(i+1)*time.Microsecond, nil)
	}
	l := r.result().LatencyUs
	for want, got := range map[float64]float64{5000: l.P50, 9900: l.P99, 9990: l.P999, 9999: l.P9999, 10_000: l.Max} {
		if math.Abs(got-want) > want/500 {
			t.Errorf("%v, want %v", got, want)
		}
	}
}

// echoing is a contestant whose server accepts connections and whose calls do nothing.
var echoing = Contestant{
	Description: contract.Description{Name: "echoing", Loads: []string{contract.Own}},
	Serve: func(ctx context.Context, s Site) error {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s.Ready(ln.Addr().String())
		<-ctx.Done()
		return ln.Close()
	},
	Dial: func(ctx context.Context, address string) (Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		return idleConn{c}, err
	},
}

type idleConn struct{ net.Conn }

func (idleConn) Caller() func() error {
	return func() error {
		time.Sleep(100 * time.Microsecond)
		return nil
	}
}

func TestTheModesKeepTheContract(t *testing.T) {
	hidden := Contestant{Description: contract.Description{Name: "hidden"}}
	var out strings.Builder
	if err := run(t.Context(), []Contestant{echoing, hidden}, []string{"describe"}, nil, &out); err != nil {
		t.Fatal(err)
	}
	var described []contract.Description
	if err := json.Unmarshal([]byte(out.String()), &described); err != nil || len(described) != 1 || described[0].Name != "echoing" {
		t.Errorf("%s: %v", out.String(), err)
	}

	questions, ask := io.Pipe()
	lines, printed := io.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- run(t.Context(), []Contestant{echoing}, []string{"server", "-contestant", "echoing"}, questions, printed)
	}()
	in := json.NewDecoder(bufio.NewReader(lines))
	var ready contract.Ready
	if err := in.Decode(&ready); err != nil {
		t.Fatal(err)
	}
	for _, q := range []contract.Question{contract.Count, contract.Release} {
		if _, err := io.WriteString(ask, string(q)+"\n"); err != nil {
			t.Fatal(err)
		}
		var c contract.Counters
		if err := in.Decode(&c); err != nil || c.CPUUs == 0 || c.RSSBytes == 0 {
			t.Errorf("%s: %+v, %v", q, c, err)
		}
	}

	out.Reset()
	args := []string{"client", "-contestant", "echoing", "-address", ready.Address, "-connections", "2", "-callers", "4", "-warmup", "1ms", "-duration", "20ms"}
	if err := run(t.Context(), []Contestant{echoing}, args, strings.NewReader(""), &out); err != nil {
		t.Fatal(err)
	}
	values := strings.Split(strings.TrimSpace(out.String()), "\n")
	var result contract.Result
	if err := json.Unmarshal([]byte(values[len(values)-1]), &result); err != nil || len(values) != 3 || result.Calls == 0 {
		t.Errorf("%v: %s", err, out.String())
	}
	if err := ask.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", "mode"},
		{"serve", "describe, server or client"},
		{"server -contestant other", "echoing"},
		{"server -contestant echoing -handler dance", "dance"},
		{"client -contestant echoing -callers 0", "callers"},
		{"client -contestant echoing -address 127.0.0.1:1", "connect"},
	} {
		err := run(t.Context(), []Contestant{echoing}, strings.Fields(tt.args), strings.NewReader(""), io.Discard)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %s", tt.args, err, tt.want)
		}
	}
}
