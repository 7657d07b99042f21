package rig

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/samples/benchmark/contract"
	"github.com/easymicro/easymicro/samples/benchmark/message"
)

// Scenario is a load under which contestants are compared.
type Scenario struct {
	Name        string   `json:"name"`
	Title       string   `json:"title"`
	Loads       []string `json:"-"` // of which a contestant takes part in one
	Connections int      `json:"connections"`
	Callers     int      `json:"callers"`

	Handler string        `json:"handler,omitempty"` // empty: echo
	Spin    time.Duration `json:"spin,omitempty"`    // or the time that the handler computes
	Warmer  int           `json:"warmer,omitempty"`  // how many times as long it warms up; 0: once
	GOGC    string        `json:"gogc,omitempty"`    // on all sides; empty: that of the contestant
	Hold    bool          `json:"hold,omitempty"`    // what is measured is the memory of idle connections
	Open    *Open         `json:"open,omitempty"`    // nil: a closed loop

	Reference string   `json:"reference,omitempty"` // that figures are compared with; empty: that of the run
	Without   []string `json:"-"`                   // contestants that would be the same as another

	// Few, if set, are the contestants of this module that take part: where all would take too long.
	Few []string `json:"-"`
	// Fewer are those of a quick run; empty: Few.
	Fewer []string `json:"-"`
}

// Open is an open loop at a share of a capacity, which is the throughput of S2.
type Open struct {
	Share     float64 `json:"share"`
	Reference bool    `json:"of_reference"` // of that of the reference; otherwise of the contestant's own
}

var (
	rpc     = []string{contract.Own, contract.Shared}
	own     = []string{contract.Own}
	shared  = []string{contract.Shared}
	overWeb = []string{contract.HTTP}

	rivals    = []string{"easymicro", "grpc-go", "net/rpc+pb"}
	withFloor = append(slices.Clone(rivals), "mux+pb+goroutine")
	pair      = []string{"easymicro", "grpc-go"}
)

// s2 is the name of the scenario whose throughput is the capacity of a contestant.
const s2 = "s2"

// allScenarios returns the scenarios in the order in which they run. Those that need what another measured come after it. The
// slow ones, S1 and S4, warm up until they have touched a heap of 64 MiB, easymicro's, for the first time: each new page costs a
// fault, in a virtual machine two.
func allScenarios() []Scenario {
	all := []Scenario{
		{Name: "s1", Title: "1,000 callers, each with its own connection", Loads: own, Connections: 1000, Callers: 1000, Warmer: 3},
		{Name: s2, Title: "1,000 callers sharing 10 connections", Loads: shared, Connections: 10, Callers: 1000},
		{Name: "s3", Title: "100 callers sharing 1 connection", Loads: shared, Connections: 1, Callers: 100},
		{Name: "s4", Title: "1 caller, 1 connection", Loads: rpc, Connections: 1, Callers: 1, Warmer: 5},
		{
			Name: "s2-gogc800", Title: "S2 at GOGC=800 on all sides", Loads: shared, Connections: 10, Callers: 1000,
			GOGC: "800", Without: []string{"easymicro-nofloor"},
		},
		{
			Name: "gateway", Title: "HTTP/1.1 with JSON, 64 connections", Loads: overWeb, Connections: 64, Callers: 64,
			Reference: "net/http+json",
		},
		{
			Name: "open-50-reference", Title: "S2 as an open loop at 50 % of the capacity of the reference", Loads: shared, Connections: 10,
			Callers: 1000, Open: &Open{Share: 0.5, Reference: true}, Few: rivals, Fewer: pair,
		},
		{
			Name: "open-50", Title: "S2 as an open loop at 50 % of the own capacity", Loads: shared, Connections: 10, Callers: 1000,
			Open: &Open{Share: 0.5}, Few: rivals, Fewer: pair,
		},
		{
			Name: "open-80", Title: "S2 as an open loop at 80 % of the own capacity", Loads: shared, Connections: 10, Callers: 1000,
			Open: &Open{Share: 0.8}, Few: rivals, Fewer: pair,
		},
	}
	for _, h := range []Scenario{
		{Name: "compute-10us", Title: "handlers that compute 10 µs", Spin: 10 * time.Microsecond},
		{Name: "compute-50us", Title: "handlers that compute 50 µs", Spin: 50 * time.Microsecond},
		{Name: "sleep-2ms", Title: "handlers that sleep 2 ms", Handler: "sleep:2ms"},
		{Name: "sleep-1in100", Title: "1 handler in 100 sleeps 5 ms", Handler: "sleep:5ms:100"},
	} {
		for _, base := range all[1:3] {
			base.Name, base.Title = h.Name+"-"+base.Name, strings.ToUpper(base.Name)+", "+h.Title
			base.Spin, base.Handler, base.Few, base.Fewer = h.Spin, h.Handler, withFloor, pair
			all = append(all, base)
		}
	}
	return append(all, Scenario{
		Name: "idle", Title: "10,000 idle connections after one call each", Loads: own, Connections: 10_000, Hold: true,
		Fewer: []string{"easymicro", "grpc-go", "pp+pb"},
	})
}

// handler returns the handler's work for a contestant; stepsIn converts a time to steps of message.Spin.
func (s *Scenario) handler(stepsIn func(time.Duration) int) string {
	switch {
	case s.Spin > 0:
		return fmt.Sprintf("spin:%d", stepsIn(s.Spin))
	case s.Handler != "":
		return s.Handler
	default:
		return "echo"
	}
}

// invites reports whether a contestant takes part. A chosen contestant is not left out to save time.
func (s *Scenario) invites(e *Entrant, quick, chosen bool) bool {
	if !slices.ContainsFunc(e.Loads, func(load string) bool { return slices.Contains(s.Loads, load) }) {
		return false
	}
	if slices.Contains(s.Without, e.Name) {
		return false
	}
	if e.Added || chosen {
		return true
	}
	few := s.Few
	if quick && s.Fewer != nil {
		few = s.Fewer
	}
	return few == nil || slices.Contains(few, e.Name)
}

// reference returns the contestant that figures are compared with.
func (s *Scenario) reference(ofRun string) string { return cmp.Or(s.Reference, ofRun) }

// spinSteps measures once how fast this machine spins.
func spinSteps() func(time.Duration) int {
	const sample = time.Millisecond
	steps := message.StepsIn(sample)
	return func(d time.Duration) int { return int(float64(steps) * float64(d) / float64(sample)) }
}
