package rig

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

// Repetition is one measurement of a contestant in a scenario.
type Repetition struct {
	Round          int               `json:"round"`
	CallsPerSecond float64           `json:"calls_per_second,omitempty"`
	Rate           float64           `json:"rate,omitempty"` // at which an open loop was to call
	LatencyUs      contract.Latency  `json:"latency_us,omitzero"`
	LateUs         *contract.Latency `json:"late_us,omitempty"`
	Server         PerCall           `json:"server,omitzero"`
	Client         PerCall           `json:"client,omitzero"`
	IdleBytes      float64           `json:"idle_bytes,omitempty"`     // of a connection, as it is
	ReleasedBytes  float64           `json:"released_bytes,omitempty"` // and when garbage is collected and returned
	Others         float64           `json:"others"`                   // share of the machine that other processes took
	Discarded      bool              `json:"discarded,omitempty"`      // because of them
	Error          string            `json:"error,omitempty"`
}

// PerCall is what a call costs a process.
type PerCall struct {
	CPUUs        float64 `json:"cpu_us"`
	Allocs       float64 `json:"allocs"`
	Bytes        float64 `json:"bytes"`
	Reads        float64 `json:"reads"`
	Writes       float64 `json:"writes"`
	GCsPerSecond float64 `json:"gcs_per_second"`
	RSSBytes     int64   `json:"rss_bytes"`
}

func perCall(c contract.Counters, calls int64, seconds float64) PerCall {
	if calls == 0 || seconds <= 0 {
		return PerCall{}
	}
	each := func(n int64) float64 { return float64(n) / float64(calls) }
	return PerCall{
		CPUUs: each(c.CPUUs), Allocs: each(c.Mallocs), Bytes: each(c.AllocBytes), Reads: each(c.Reads), Writes: each(c.Writes),
		GCsPerSecond: float64(c.GCs) / seconds, RSSBytes: c.RSSBytes,
	}
}

// trial is a server and a client of a contestant in a scenario.
type trial struct {
	scenario         *Scenario
	entrant          *Entrant
	handler          string
	env              []string
	warmup, duration time.Duration
	rate             float64
	cores            int
	idle             time.Duration // how long connections have been idle when their memory is measured
}

// run measures once.
func (t *trial) run(ctx context.Context) (Repetition, error) {
	ctx, stop := context.WithTimeout(ctx, t.warmup+t.duration+t.idle+time.Minute)
	defer stop()
	server, err := contract.Start(ctx, t.entrant.program, t.env, "server", "-contestant", t.entrant.inProgram, "-handler", t.handler)
	if err != nil {
		return Repetition{}, err
	}
	defer func() { _ = server.Stop() }()
	var ready contract.Ready
	if err := server.Read(&ready); err != nil {
		return Repetition{}, err
	}
	measure := t.load
	if t.scenario.Hold {
		measure = t.hold
	}
	r, err := measure(ctx, server, ready.Address)
	if err != nil {
		return Repetition{}, err
	}
	return r, server.Stop()
}

func (t *trial) client(ctx context.Context, address string, args ...string) (*contract.Process, error) {
	args = append([]string{
		"client", "-contestant", t.entrant.inProgram, "-address", address, "-connections", strconv.Itoa(t.scenario.Connections),
	}, args...)
	return contract.Start(ctx, t.entrant.program, t.env, args...)
}

// load measures calls.
func (t *trial) load(ctx context.Context, server *contract.Process, address string) (Repetition, error) {
	args := []string{"-callers", strconv.Itoa(t.scenario.Callers), "-warmup", t.warmup.String(), "-duration", t.duration.String()}
	if t.rate > 0 {
		args = append(args, "-rate", strconv.FormatFloat(t.rate, 'f', -1, 64))
	}
	client, err := t.client(ctx, address, args...)
	if err != nil {
		return Repetition{}, err
	}
	defer client.Kill()
	before, err := snapshotAt(client, server)
	if err != nil {
		return Repetition{}, err
	}
	after, err := snapshotAt(client, server)
	if err != nil {
		return Repetition{}, err
	}
	var result contract.Result
	if err := client.Read(&result); err != nil {
		return Repetition{}, err
	}
	if err := client.Stop(); err != nil {
		return Repetition{}, err
	}
	if result.Errors > 0 || result.Calls == 0 || result.Seconds <= 0 || result.Counters == nil {
		return Repetition{}, fmt.Errorf("%d calls in %.1f s, %d failed: %s", result.Calls, result.Seconds, result.Errors, result.FirstErr)
	}
	served := after.server.Minus(before.server)
	ours := time.Duration(served.CPUUs+result.Counters.CPUUs) * time.Microsecond
	return Repetition{
		CallsPerSecond: float64(result.Calls) / result.Seconds,
		Rate:           t.rate,
		LatencyUs:      result.LatencyUs,
		LateUs:         result.LateUs,
		Server:         perCall(served, result.Calls, result.Seconds),
		Client:         perCall(*result.Counters, result.Calls, result.Seconds),
		Others:         others(before.usage, after.usage, ours, t.cores),
	}, nil
}

// snapshot is the state of a server and of the machine.
type snapshot struct {
	usage  usage
	server contract.Counters
}

// snapshotAt takes a snapshot when the client begins or ends to measure.
func snapshotAt(client, server *contract.Process) (s snapshot, err error) {
	if err := client.Read(new(contract.Measuring)); err != nil {
		return s, err
	}
	if s.usage, err = readUsage(); err != nil {
		return s, err
	}
	s.server, err = server.Ask(contract.Count)
	return s, err
}

// hold measures the memory of idle connections.
func (t *trial) hold(ctx context.Context, server *contract.Process, address string) (Repetition, error) {
	before, err := server.Ask(contract.Release)
	if err != nil {
		return Repetition{}, err
	}
	client, err := t.client(ctx, address, "-hold")
	if err != nil {
		return Repetition{}, err
	}
	defer client.Kill()
	if err := client.Read(new(contract.Measuring)); err != nil {
		return Repetition{}, err
	}
	select {
	case <-ctx.Done():
		return Repetition{}, ctx.Err()
	case <-time.After(t.idle):
	}
	idle, err := server.Ask(contract.Count)
	if err != nil {
		return Repetition{}, err
	}
	released, err := server.Ask(contract.Release)
	if err != nil {
		return Repetition{}, err
	}
	each := func(c contract.Counters) float64 {
		return float64(c.RSSBytes-before.RSSBytes) / float64(t.scenario.Connections)
	}
	return Repetition{IdleBytes: each(idle), ReleasedBytes: each(released)}, client.Stop()
}
