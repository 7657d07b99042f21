package message

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// Work is what a handler does before it answers. It may be called concurrently.
type Work func()

// ParseWork returns the work with a name:
//
//	echo          nothing
//	spin:N        N steps of Spin, the same number in every contestant
//	sleep:D       sleeps for D, such as 2ms
//	sleep:D:N     one call in N sleeps for D
func ParseWork(name string) (Work, error) {
	kind, argument, _ := strings.Cut(name, ":")
	switch kind {
	case "echo":
		if argument == "" {
			return func() {}, nil
		}
	case "spin":
		if steps, err := strconv.Atoi(argument); err == nil && steps > 0 {
			return func() { _ = Spin(steps) }, nil
		}
	case "sleep":
		if work, ok := parseSleep(argument); ok {
			return work, nil
		}
	}
	return nil, fmt.Errorf("handler %q: want echo, spin:STEPS, sleep:DURATION or sleep:DURATION:ONE_IN", name)
}

func parseSleep(argument string) (Work, bool) {
	duration, share, isShared := strings.Cut(argument, ":")
	d, err := time.ParseDuration(duration)
	if err != nil || d <= 0 {
		return nil, false
	}
	if !isShared {
		return func() { time.Sleep(d) }, true
	}
	oneIn, err := strconv.ParseUint(share, 10, 32)
	if err != nil || oneIn == 0 {
		return nil, false
	}
	calls := new(atomic.Uint64)
	return func() {
		if calls.Add(1)%oneIn == 0 {
			time.Sleep(d)
		}
	}, true
}

// Spin takes steps of a generator of random numbers, each of which needs the result of the one before it, and returns the last.
// Handlers that compute for a time are given a number of steps: a loop that reads the clock would compute less when it is
// interrupted.
//
//go:noinline
func Spin(steps int) uint64 {
	x := uint64(1)
	for range steps {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

// StepsIn measures how many steps Spin takes in d on this machine when nothing disturbs it.
func StepsIn(d time.Duration) int {
	const (
		steps = 1 << 20
		tries = 7
	)
	best := time.Duration(1<<63 - 1)
	for range tries {
		begin := time.Now()
		_ = Spin(steps)
		best = min(best, time.Since(begin))
	}
	return int(float64(steps) * float64(d) / float64(best))
}
