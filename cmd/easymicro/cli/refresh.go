package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// refresh shows something about the running host: once, or every second until it is interrupted.
type refresh struct {
	*printer
	host  *hostClient
	watch bool
}

// run calls ask, then the function that it returns, which shows the answer. With watch, it shows each answer in place on a
// terminal, and it reports an unreachable host and tries again.
func (r *refresh) run(ctx context.Context, ask func(ctx context.Context) (show func() error, err error)) error {
	if !r.watch {
		show, err := ask(ctx)
		if err != nil {
			return r.host.failed(err)
		}
		return show()
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		show, err := ask(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var exit *exitError
		switch err = r.host.failed(err); {
		case err == nil:
			r.clear()
			err = show()
		case errors.As(err, &exit) && exit.code == ExitUnreachable:
			r.clear()
			report(r.printer, err)
			err = nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
