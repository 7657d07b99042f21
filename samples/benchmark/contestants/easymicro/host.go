package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/samples/benchmark/contestant"
	"github.com/easymicro/easymicro/samples/benchmark/contract"
	"github.com/easymicro/easymicro/samples/benchmark/message"
)

const (
	serviceName = "Bench"
	sayMethod   = "Say"
	mulPath     = "/Bench/Mul"
	handlerName = "benchmark"
)

// Rules of a host.
const (
	noRule  = "rules: []\n"
	oneRule = `rules:
  - name: bench
    match: {service: Bench}
    timeout: 5s
`
	allRules = `rules:
  - name: bench
    match: {service: Bench}
    rateLimit: {rate: 10000000, burst: 1000000}
    concurrency: {max: 100000}
    circuitBreaker: {failureRate: 50%}
    timeout: 5s
`
)

// Discovery of a host, with the URL of an etcd.
const (
	noDiscovery = ""
	registering = "discovery: {etcd: [{name: main, endpoints: [%q], register: {}}]}\n"
)

const ownManifest = `listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: "127.0.0.1:0"}
policies: {files: [policies.yaml]}
services: [{name: ` + serviceName + `, handler: ` + handlerName + `}]
`

// handler is the service. Its methods are not declared to be short, so they might block.
type handler struct{ work message.Work }

// Say answers a message.
//
//nolint:unparam // the shape of a handler
func (h *handler) Say(_ context.Context, args, reply *message.BenchmarkMessage) error {
	h.work()
	message.Answer(args, reply)
	return nil
}

// Mul multiplies, for the gateways.
//
//nolint:unparam // the shape of a handler
func (h *handler) Mul(_ context.Context, args *contestant.Args, reply *contestant.Reply) error {
	h.work()
	reply.C = args.A * args.B
	return nil
}

// serve returns a Serve that runs a host.
func serve(rules, discovery string, opts ...registry.Option) func(context.Context, contestant.Site) error {
	return func(ctx context.Context, s contestant.Site) error {
		manifest := ownManifest
		if discovery != noDiscovery {
			manifest += fmt.Sprintf(discovery, os.Getenv(contract.EtcdVariable))
		}
		return runHost(ctx, s.Work, manifest, rules, func(address string) error {
			s.Ready(address)
			return nil
		}, opts...)
	}
}

// runHost runs a host until ctx ends, or until ready, which is called with its address, fails.
func runHost(ctx context.Context, work message.Work, manifest, rules string, ready func(address string) error, opts ...registry.Option) error {
	dir, err := os.MkdirTemp("", "easymicro-benchmark-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "easymicro.yaml")
	for file, text := range map[string]string{path: manifest, filepath.Join(dir, "policies.yaml"): rules} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
	}
	set, files, err := host.LoadFiles(path, load.Options{})
	if err != nil {
		return err
	}
	handlers := registry.New()
	registry.Plain(&handler{work}, append(opts, registry.As(handlerName), registry.In(handlers))...)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	o := host.Options{Registry: handlers, Source: files, Version: "benchmark", OnReady: func(h *host.Host) {
		go func() { // OnReady must not block; ends with ready
			if err := ready(h.Addr("main").String()); err != nil {
				stop(err)
			}
		}()
	}}
	ownHeap(&o)
	h, err := host.Open(ctx, set, o)
	if err != nil {
		return err
	}
	if err := h.Run(ctx); err != nil {
		return err
	}
	if cause := context.Cause(ctx); cause != context.Canceled { //nolint:errorlint // the cause itself, not what it wraps
		return cause
	}
	return nil
}
