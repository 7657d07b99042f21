// Command client calls a service found in etcd, under its own rules, until it is stopped.
package main

import (
	"context"
	"log"
	"os"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
)

func main() { greet(context.Background(), must(etcd.New(etcd.Options{Endpoints: os.Args[1:]}))) }

func greet(ctx context.Context, hosts client.Resolver) {
	rules := must(policies.ClientGuard([]config.Rule{{
		Name: "greeter-calls", Match: config.Match{Upstream: config.Patterns{"Greeter"}}, Timeout: new(config.Duration(time.Second)),
		RateLimit:      &config.RateLimit{Rate: 2, Burst: 1, OnExceed: "wait", MaxWait: config.Duration(time.Second)},
		CircuitBreaker: &config.CircuitBreaker{ConsecutiveFailures: 3, OpenTimeout: config.Duration(2 * time.Second), Scope: "upstream"},
	}}))
	rules.OnTransition(func(t policies.Transition) { log.Println("breaker", t.From, "→", t.To, t.Cause) })
	c := must(client.New(client.Options{Resolver: hosts, Guard: rules}))
	defer c.Close()
	for ctx.Err() == nil {
		reply, answered := struct{ Text string }{}, wire.Metadata{}
		err := c.Call(ctx, "Greeter", "Greet", struct{ Name string }{"Ada"}, &reply, client.Metadata("lang", "it"), client.ReplyMetadata(&answered))
		log.Println(reply.Text, answered, err)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
