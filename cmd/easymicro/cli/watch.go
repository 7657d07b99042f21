package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const watchEvery = time.Second

// watch asks and shows again and again until it is interrupted: in place on a terminal, one below the other elsewhere. A
// host that is away is told, and asked again.
func (a *app) watch(ctx context.Context, ask func(context.Context) (show func() error, err error)) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		show, err := ask(ctx)
		var exit *exitError
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			a.clear()
			err = show()
		case errors.As(err, &exit) && exit.code == ExitUnreachable:
			a.clear()
			a.report(err)
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

// clear begins the screen anew.
func (a *app) clear() {
	switch {
	case terminal(a.io.Out):
		fmt.Fprint(a.io.Out, "\x1b[H\x1b[2J")
	case a.output == outputText:
		a.line("")
	}
}
