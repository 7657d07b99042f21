package contestant

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

// load is the client of a contestant: connections and what is called over them.
type load struct {
	out *printer

	address              string
	connections, callers int
	warmup, duration     time.Duration
	rate                 float64
	hold                 bool
}

func (l *load) addFlags(flags *flag.FlagSet) {
	flags.StringVar(&l.address, "address", "", "`host:port` of the server")
	flags.IntVar(&l.connections, "connections", 1, "`number` of connections, on each of which one call is made before anything is measured")
	flags.IntVar(&l.callers, "callers", 1, "`number` of callers")
	flags.DurationVar(&l.warmup, "warmup", time.Second, "`time` before what is measured")
	flags.DurationVar(&l.duration, "duration", time.Second, "`time` that is measured")
	flags.Float64Var(&l.rate, "rate", 0, "`calls` a second, at a steady pace; 0: each caller calls again when it has its answer")
	flags.BoolVar(&l.hold, "hold", false, "keep the connections open until stdin ends instead of calling")
}

func (l *load) run(ctx context.Context, dial func(context.Context, string) (Conn, error), in io.Reader) error {
	if l.connections < 1 || l.callers < 1 || l.duration <= 0 || l.warmup < 0 || l.rate < 0 {
		return errors.New("connections, callers and duration must be positive, warmup and rate not negative")
	}
	conns, err := dialAll(ctx, l.connections, func() (Conn, error) { return open(ctx, dial, l.address) })
	defer closeAll(conns)
	if err != nil {
		return err
	}
	if l.hold {
		return l.keep(in)
	}
	calls := make([]func() error, l.callers)
	for i := range calls {
		calls[i] = conns[i%len(conns)].Caller()
	}
	var result contract.Result
	measuring := func(is bool) { err = errors.Join(err, l.out.write(contract.Measuring{Measuring: is})) }
	if l.rate > 0 {
		result = openLoop(calls, l.rate, l.warmup, l.duration, measuring)
	} else {
		result = closedLoop(calls, l.warmup, l.duration, measuring)
	}
	return errors.Join(err, l.out.write(result))
}

// keep keeps the connections open until in ends.
func (l *load) keep(in io.Reader) error {
	if err := l.out.write(contract.Measuring{Measuring: true}); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, in)
	return err
}

// open opens a connection and makes a call on it: some clients connect when they are called first.
func open(ctx context.Context, dial func(context.Context, string) (Conn, error), address string) (Conn, error) {
	c, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	if err := c.Caller()(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// dialing is how many connections are opened at a time: few enough for the backlog of a listener.
const dialing = 64

// dialAll opens connections. Those that it has opened are returned also with an error.
func dialAll(ctx context.Context, n int, dial func() (Conn, error)) ([]Conn, error) {
	var (
		mu    sync.Mutex
		conns []Conn
		errs  error
		wg    sync.WaitGroup
	)
	free := make(chan struct{}, dialing)
	for range n {
		free <- struct{}{}
		wg.Go(func() {
			c, err := dial()
			mu.Lock()
			if err == nil {
				conns = append(conns, c)
			} else if errs == nil {
				errs = fmt.Errorf("connect: %w", err)
			}
			mu.Unlock()
			<-free
		})
		if ctx.Err() != nil {
			break
		}
	}
	wg.Wait()
	return conns, errors.Join(errs, ctx.Err())
}

func closeAll(conns []Conn) {
	for _, c := range conns {
		_ = c.Close()
	}
}
