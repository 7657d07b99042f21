package contestant

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/easymicro/easymicro/samples/benchmark/contract"
	"github.com/easymicro/easymicro/samples/benchmark/message"
)

// serve runs a server until stdin or ctx ends.
func serve(ctx context.Context, c Contestant, handler string, in io.Reader, out *printer) error {
	work, err := message.ParseWork(handler)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var others processes
	ready, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		ended <- c.Serve(ctx, Site{Work: work, Ready: func(address string) { ready <- address }, AddProcess: others.add})
	}()
	select {
	case address := <-ready:
		if err := out.write(contract.Ready{Address: address}); err != nil {
			return err
		}
	case err := <-ended:
		return fmt.Errorf("%s does not serve: %w", c.Name, err)
	}
	if err := answer(in, out, &others); err != nil {
		return err
	}
	stop()
	return <-ended
}

// answer answers questions until in ends.
func answer(in io.Reader, out *printer, others *processes) error {
	for lines := bufio.NewScanner(in); lines.Scan(); {
		q := contract.Question(lines.Text())
		if q == contract.Release {
			runtime.GC() // a sync.Pool gives up its content with the second collection
			debug.FreeOSMemory()
		}
		c, err := others.ask(q)
		if err != nil {
			return err
		}
		if err := out.write(c.Plus(countSelf())); err != nil {
			return err
		}
	}
	return nil
}

// processes are those that serve together with this one.
type processes struct {
	mu  sync.Mutex
	all []*contract.Process
}

func (p *processes) add(one *contract.Process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = append(p.all, one)
}

// ask returns the counters of all of them together.
func (p *processes) ask(q contract.Question) (contract.Counters, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var sum contract.Counters
	for _, one := range p.all {
		c, err := one.Ask(q)
		if err != nil {
			return sum, err
		}
		sum = sum.Plus(c)
	}
	return sum, nil
}
