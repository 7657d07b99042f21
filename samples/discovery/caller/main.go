// Command caller calls the two hosts of the sample from many goroutines and prints the results every second.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/samples/discovery"
	"github.com/easymicro/easymicro/wire/client"
)

func main() {
	url := flag.String("etcd", "http://127.0.0.1:2379", "`URL` of the etcd in which the hosts are registered")
	callers := flag.Int("n", 16, "goroutines that call")
	retry := flag.Bool("retry", false, "retry failed calls on the other host")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	cluster, err := etcd.New(etcd.Options{Endpoints: []string{*url}})
	if err != nil {
		log.Fatal(err)
	}
	defer cluster.Close()
	if err := run(ctx, cluster, *callers, *retry, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// run makes calls until ctx ends.
func run(ctx context.Context, hosts client.Resolver, callers int, retry bool, out io.Writer) error {
	o := client.Options{Resolver: hosts}
	if retry {
		rules, err := policies.ClientGuard([]config.Rule{{
			Name: "echo-calls", Match: config.Match{Upstream: config.Patterns{"Echo"}}, Retry: &config.Retry{MaxAttempts: 3},
		}})
		if err != nil {
			return err
		}
		o.Guard, o.Idempotent = rules, []string{"Say"} // safe to retry
	}
	c, err := client.New(o)
	if err != nil {
		return err
	}
	defer c.Close()
	var t tally
	var all sync.WaitGroup
	defer all.Wait()
	for range callers {
		all.Go(func() { call(ctx, c, &t) })
	}
	for second := time.Tick(time.Second); ; {
		select {
		case <-second:
			fmt.Fprintln(out, time.Now().Format(time.TimeOnly), t.flush())
		case <-ctx.Done():
			return nil
		}
	}
}

// call makes calls until ctx ends, with a short pause after an error.
func call(ctx context.Context, c *client.Client, t *tally) {
	for ctx.Err() == nil {
		start := time.Now()
		answer, err := client.Call[discovery.Answer](ctx, c, "Echo", "Say", discovery.Text{Text: "hello"})
		if ctx.Err() != nil {
			return
		}
		t.add(answer, err, time.Since(start))
		if err != nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
}
