package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/easymicro/easymicro/samples/discovery"
	"github.com/easymicro/easymicro/wire/code"
)

// tally counts the results of one second of calls.
type tally struct {
	mu      sync.Mutex
	hosts   map[string]int // answered calls
	errors  map[string]int // by code and reason
	slowest time.Duration
}

func (t *tally) add(answer *discovery.Answer, err error, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hosts == nil {
		t.hosts, t.errors = map[string]int{}, map[string]int{}
	}
	t.slowest = max(t.slowest, took)
	if err == nil {
		t.hosts[answer.Host]++
		return
	}
	e := code.From(err)
	t.errors[strings.TrimSpace(e.Code.String()+" "+e.Reason)]++
}

// flush returns the line of the current second and starts the next.
func (t *tally) flush() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := fmt.Sprintf("  %s   slowest %s   errors: %s", listed(t.hosts, "no answer"), t.slowest.Round(time.Millisecond), listed(t.errors, "none"))
	t.hosts, t.errors, t.slowest = nil, nil, 0
	return line
}

func listed(counts map[string]int, none string) string {
	if len(counts) == 0 {
		return none
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}
