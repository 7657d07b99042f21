// Package rig measures contestants against each other: it runs each as a server and a client in processes of their own, in all
// scenarios, one contestant after the other in every round, and repeats what other processes disturbed.
package rig

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

// Options are what to run. The module's directory must be the current one.
type Options struct {
	Scenarios   []string // names; empty: all
	Contestants []string // names or patterns of path.Match; empty: all
	Add         []string // programs of further contestants, as PATH or PREFIX=PATH
	Reference   string   // the contestant that others are compared with

	Quick    bool // fewer contestants in some scenarios
	Repeat   int
	Warmup   time.Duration
	Duration time.Duration
	Idle     time.Duration // before the memory of idle connections is measured
	Rate     float64       // of open loops; 0: a share of the capacity
	Noise    float64       // share of the machine that other processes may take
	Limit    time.Duration // of a run: when it comes near, disturbed repetitions are kept
	Profiles string        // directory for profiles of the CPU; empty: none are made

	Log io.Writer // progress
}

// retries is how often a disturbed repetition is repeated.
const retries = 2

// run is a run under way.
type run struct {
	Options

	entrants  []*Entrant // all
	chosen    []*Entrant
	scenarios []Scenario
	stepsIn   func(time.Duration) int
	etcd      *etcd // nil until it is needed
	dir       string
	begin     time.Time
	left      time.Duration // that the rest of the run takes without repeating anything
	figures   []*Figure
}

// Run builds the contestants and measures them.
func Run(ctx context.Context, o Options) (*Report, error) {
	dir, err := os.MkdirTemp("", "easymicro-benchmark-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r := &run{Options: o, dir: dir}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if r.etcd != nil {
			r.etcd.stop()
		}
	}()
	r.stepsIn, r.begin = spinSteps(), time.Now()
	r.logf("%d measurements, about %s\n", r.plan(), r.left.Round(time.Second))
	for i := range r.scenarios {
		if err := r.scenario(ctx, &r.scenarios[i]); err != nil {
			return nil, err
		}
	}
	return r.report(ctx), nil
}

func (r *run) prepare(ctx context.Context) error {
	if r.Repeat < 1 || r.Duration <= 0 || r.Warmup < 0 {
		return errors.New("repeat and duration must be positive, warmup not negative")
	}
	var err error
	if r.scenarios, err = chooseScenarios(r.Options.Scenarios); err != nil {
		return err
	}
	var added []*Entrant
	for _, arg := range r.Add {
		more, err := add(ctx, arg)
		if err != nil {
			return err
		}
		added = append(added, more...)
	}
	r.logf("building the contestants\n")
	if r.entrants, err = buildOwn(ctx, r.dir); err != nil {
		return err
	}
	r.entrants = append(r.entrants, added...)
	if err := checkNames(r.entrants); err != nil {
		return err
	}
	r.chosen, err = choose(r.entrants, r.Contestants)
	return err
}

func chooseScenarios(wanted []string) ([]Scenario, error) {
	all := allScenarios()
	if len(wanted) == 0 {
		return all, nil
	}
	var known []string
	for _, s := range all {
		known = append(known, s.Name)
	}
	for _, name := range wanted {
		if !slices.Contains(known, name) {
			return nil, fmt.Errorf("no scenario %s: there are %s", name, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(s Scenario) bool { return !slices.Contains(wanted, s.Name) }), nil
}

func checkNames(entrants []*Entrant) error {
	seen := map[string]bool{}
	for _, e := range entrants {
		if seen[e.Name] {
			return fmt.Errorf("two contestants are called %s: give one a prefix, as in -add base=PATH", e.Name)
		}
		seen[e.Name] = true
	}
	return nil
}

// overhead is about what starting and stopping two processes takes.
const overhead = 400 * time.Millisecond

// takes returns about how long a measurement takes.
func (r *run) takes(s *Scenario) time.Duration {
	if s.Hold {
		const opening = 2 * time.Second
		return r.Idle + opening
	}
	return r.warmup(s) + r.Duration + overhead
}

func (r *run) warmup(s *Scenario) time.Duration { return r.Warmup * time.Duration(max(s.Warmer, 1)) }

// plan counts the measurements of the run and sums up what they take.
func (r *run) plan() int {
	n := 0
	for i := range r.scenarios {
		s := &r.scenarios[i]
		here := len(r.invited(s)) * r.Repeat
		n += here
		r.left += time.Duration(here) * r.takes(s)
	}
	return n
}

func (r *run) invited(s *Scenario) []*Entrant {
	return slices.DeleteFunc(slices.Clone(r.chosen), func(e *Entrant) bool { return !s.invites(e, r.Quick, len(r.Contestants) > 0) })
}

// scenario measures a scenario in rounds.
func (r *run) scenario(ctx context.Context, s *Scenario) error {
	invited := r.invited(s)
	if len(invited) == 0 {
		return nil
	}
	r.logf("\n%s: %s\n", s.Name, s.Title)
	measured := make([][]Repetition, len(invited))
	for round := 1; round <= r.Repeat; round++ {
		for i, e := range invited {
			r.left -= r.takes(s)
			all, err := r.round(ctx, s, e, round)
			if err != nil {
				return err
			}
			measured[i] = append(measured[i], all...)
		}
	}
	for i, e := range invited {
		r.figures = append(r.figures, figureOf(s.Name, e.Name, measured[i], r.Noise))
	}
	r.compare(s)
	return nil
}

// compare relates the figures of a closed loop to that of its reference.
func (r *run) compare(s *Scenario) {
	to := r.figure(s.Name, s.reference(r.Reference))
	if to == nil || s.Open != nil {
		return
	}
	for _, f := range r.figures {
		if f.Scenario == s.Name {
			f.Ratio = ratios(f, to, func(rep *Repetition) float64 { return rep.CallsPerSecond })
		}
	}
}

func (r *run) figure(scenario, contestant string) *Figure {
	return findFigure(r.figures, scenario, contestant)
}

func findFigure(figures []*Figure, scenario, contestant string) *Figure {
	for _, f := range figures {
		if f.Scenario == scenario && f.Contestant == contestant {
			return f
		}
	}
	return nil
}

// round measures a contestant once, and again as long as others disturb and there is time. A contestant that fails does not end
// the run; its error is part of the report.
func (r *run) round(ctx context.Context, s *Scenario, e *Entrant, round int) ([]Repetition, error) {
	t, err := r.trial(ctx, s, e)
	if err != nil {
		return nil, err
	}
	var all []Repetition
	for try := 0; ; try++ {
		rep, err := t.run(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		rep.Round = round
		if err != nil {
			rep.Error = err.Error()
		}
		all = append(all, rep)
		r.logf("  %d %-24s %s\n", round, e.Name, summary(s, &rep))
		if rep.Error != "" || rep.Others <= r.Noise || try == retries || !r.hasTimeFor(r.takes(s)) {
			return all, nil
		}
	}
}

func (r *run) hasTimeFor(d time.Duration) bool {
	return r.Limit == 0 || time.Since(r.begin)+r.left+d < r.Limit
}

// trial prepares the measurement of a contestant.
func (r *run) trial(ctx context.Context, s *Scenario, e *Entrant) (*trial, error) {
	address := ""
	if slices.Contains(e.Needs, "etcd") {
		if r.etcd == nil {
			var err error
			if r.etcd, err = startEtcd(ctx, r.dir); err != nil {
				return nil, err
			}
		}
		address = r.etcd.url
	}
	t := &trial{
		scenario: s, entrant: e, handler: s.handler(r.stepsIn), env: e.environment(s.GOGC, address),
		warmup: r.warmup(s), duration: r.Duration, idle: r.Idle, cores: runtime.NumCPU(),
	}
	if r.Profiles != "" {
		t.env = append(t.env, contract.ProfileVariable+"="+filepath.Join(r.Profiles, s.Name+"."+strings.ReplaceAll(e.Name, "/", "-")))
	}
	if s.Open != nil {
		t.rate = r.Rate
		if t.rate == 0 {
			capacity, err := r.capacity(ctx, s.Open, e)
			if err != nil {
				return nil, err
			}
			t.rate = capacity * s.Open.Share
		}
	}
	return t, nil
}

// capacity returns the throughput in S2 of a contestant or the reference, which is measured now if S2 is not part of the run.
func (r *run) capacity(ctx context.Context, o *Open, e *Entrant) (float64, error) {
	if o.Reference {
		at := slices.IndexFunc(r.entrants, func(e *Entrant) bool { return e.Name == r.Reference })
		if at < 0 {
			return 0, fmt.Errorf("the reference %s is no contestant", r.Reference)
		}
		e = r.entrants[at]
	}
	f := r.figure(s2, e.Name)
	if f == nil {
		scenarios, err := chooseScenarios([]string{s2})
		if err != nil {
			return 0, err
		}
		all, err := r.round(ctx, &scenarios[0], e, 1)
		if err != nil {
			return 0, err
		}
		f = figureOf(s2, e.Name, all, r.Noise)
		r.figures = append(r.figures, f)
	}
	if f.CallsPerSecond.Median == 0 {
		return 0, fmt.Errorf("the capacity of %s is not known: %s", e.Name, f.Error)
	}
	return f.CallsPerSecond.Median, nil
}

func summary(s *Scenario, r *Repetition) string {
	switch {
	case r.Error != "":
		return "failed: " + r.Error
	case s.Hold:
		return fmt.Sprintf("%.1f KiB a connection, %.1f released", r.IdleBytes/1024, r.ReleasedBytes/1024)
	default:
		return fmt.Sprintf("%9.0f calls/s   p50 %8.0f µs   p99 %8.0f µs   others %.0f %%", r.CallsPerSecond, r.LatencyUs.P50, r.LatencyUs.P99, 100*r.Others)
	}
}

func (r *run) logf(format string, args ...any) { fmt.Fprintf(r.Log, format, args...) }
