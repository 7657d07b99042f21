package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

type options struct {
	loads            []float64 // relative to the capacity
	warmup, duration time.Duration
	only             string // rule; empty: all
	log              io.Writer
}

// handlers are what is called: methods of the sample overload.
var handlers = []struct{ method, title string }{
	{"Price", "a handler that computes 1 ms"},
	{"Order", "a handler that waits for one of 8 connections for 4 ms"},
}

// rules are what calls are limited by. The first is none.
var rules = []struct{ name, text string }{
	{"none", ""},
	{"max 8", "concurrency: {max: 8}"},
	{"max 2", "concurrency: {max: 2}"},
	{"adaptive", "concurrency: {adaptive: {min: 2, max: 1000}}"},
	{"shed", "shed: {cpuAbove: 85%}"},
}

// measure measures every rule for every handler.
func measure(ctx context.Context, o options) (*report, error) {
	r := &report{Date: time.Now().UTC(), Cores: runtime.NumCPU(), Go: runtime.Version(), Warmup: o.warmup, Duration: o.duration}
	r.HostCores = hostCores(r.Cores)
	for _, h := range handlers {
		s := series{Method: h.method, Title: h.title}
		free, err := start(ctx, "rules: []\n")
		if err != nil {
			return nil, err
		}
		best, err := call(ctx, "-address", free.address, "-method", h.method, "-callers", "8", "-warmup", "500ms", "-duration", o.duration.String())
		free.stop()
		if err != nil {
			return nil, err
		}
		s.Capacity = best.Goodput
		for _, rule := range rules {
			if o.only != "" && o.only != rule.name {
				continue
			}
			fmt.Fprintf(o.log, "%s, %s\n", h.title, rule.name)
			steps, err := steps(ctx, o, h.method, rule.text, s.Capacity)
			if err != nil {
				return nil, err
			}
			s.Rules = append(s.Rules, ruled{rule.name, rule.text, steps})
		}
		s.judge()
		r.Series = append(r.Series, s)
	}
	return r, nil
}

// steps measures one rule, the loads one after the other.
func steps(ctx context.Context, o options, method, rule string, capacity float64) (all []step, err error) {
	text := "rules: []\n"
	if rule != "" {
		text = "rules:\n  - {name: limit, match: {service: Shop}, " + rule + "}\n"
	}
	h, err := start(ctx, text)
	if err != nil {
		return nil, err
	}
	defer h.stop()
	for _, l := range o.loads {
		h.most.Store(0)
		got, err := call(ctx, "-address", h.address, "-method", method, "-rate", strconv.FormatFloat(l*capacity, 'f', 1, 64),
			"-warmup", o.warmup.String(), "-duration", o.duration.String())
		if err != nil {
			return nil, err
		}
		all = append(all, step{Load: l, outcome: got, MiB: float64(h.most.Load()) / (1 << 20)})
	}
	return all, nil
}

// process is a host in a process of its own.
type process struct {
	address string
	most    atomic.Int64 // resident bytes
	cmd     *exec.Cmd
	in      io.Closer
	quit    chan struct{}
	watched chan struct{}
}

func start(ctx context.Context, rules string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &process{
		cmd:  exec.CommandContext(ctx, self, serveMode, rules), //nolint:gosec // itself
		quit: make(chan struct{}), watched: make(chan struct{}),
	}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	go p.watch()
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("the host has not started: %w", err)
	}
	p.address = strings.TrimSpace(line)
	return p, nil
}

// watch keeps the most memory that was resident.
func (p *process) watch() {
	defer close(p.watched)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-tick.C:
			p.most.Store(max(p.most.Load(), resident(p.cmd.Process.Pid)))
		}
	}
}

func (p *process) stop() {
	close(p.quit)
	<-p.watched
	_ = p.in.Close()
	_ = p.cmd.Wait()
}

// resident returns the resident bytes of a process.
func resident(pid int) int64 {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// call runs the client.
func call(ctx context.Context, args ...string) (o outcome, err error) {
	self, err := os.Executable()
	if err != nil {
		return o, err
	}
	cmd := exec.CommandContext(ctx, self, append([]string{loadMode}, args...)...) //nolint:gosec // itself
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return o, fmt.Errorf("client: %w", err)
	}
	err = json.Unmarshal(out, &o)
	return o, err
}
