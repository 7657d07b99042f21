package host

import (
	"errors"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/forecast"
	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/policies"
)

// forecastOf returns what an edit of what runs would have done to the calls of the last minutes; nil: it changes nothing that could
// refuse a call, or there is a mistake in the forecast, which must not hold up an edit.
func forecastOf(c *core, running *generation, set *config.Set, rules *policies.Snapshot, changes config.Changes) (f *admin.Forecast) {
	err := contain(func() error {
		now := time.Now()
		f = forecast.Of(
			&forecast.Edit{
				Old: forecast.Side{Set: running.set, Rules: running.policies}, Next: forecast.Side{Set: set, Rules: rules},
				Changes: changes, Bounds: stricter(running.set, set),
			},
			&forecast.Traffic{Spans: c.flows.Record(now), Latency: latencies(running, now)})
		return nil
	})
	if internal, ok := errors.AsType[*config.InternalError](err); ok {
		c.log.Error("internal error", "where", "in a forecast", "panic", internal.Value, "stack", internal.Stack)
	}
	return f
}

// latencies returns a function that finds the durations of the calls of a method by its full name.
func latencies(g *generation, now time.Time) func(method string) traffic.Latency {
	byName := make(map[string]*traffic.Method)
	for _, s := range g.services {
		for _, m := range s.Methods {
			byName[m.FullName()] = m.Traffic()
		}
	}
	return func(method string) (l traffic.Latency) {
		if m := byName[method]; m != nil {
			return m.Latency(now)
		}
		service, _, _ := strings.Cut(method, "/")
		for _, named := range g.routes.Remote.Methods(service) {
			if named.Name == method {
				l = named.Latency(now)
			}
		}
		return l
	}
}

// forecastError is the error of an edit that is not applied because of its forecast.
type forecastError struct{ *admin.Forecast }

func (e forecastError) Error() string { return e.Exceeds }

// answer returns the error as one of the API.
func (e forecastError) answer(inForce int) *admin.Error {
	var problems config.Problems
	for i := range e.Findings {
		f := &e.Findings[i]
		if f.Refused > f.RefusedBefore {
			problems = append(problems, f.At.Problem("", f.String()))
		}
	}
	return admin.Errorf(admin.CodeForecast, "not applied, r%d keeps running: %s", inForce, e.Exceeds).
		WithHelp("change the rules, try them with mode: shadow, or apply with --force (\"force\": true): the edit is still observed, and may be rolled back").
		WithProblems(problems)
}
