package client

import (
	"context"
	"errors"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

const (
	resendTimeout  = 10 * time.Second // maximum time for sending a one-way request to another peer
	minResendDelay = 50 * time.Millisecond
	maxResendDelay = time.Second
)

// resender has one-way requests that must be sent to other peers. Their calls have already returned.
type resender struct {
	c     *catalog
	left  []unsent
	lost  int
	why   error
	where string // method of a lost request
}

// unsent is one of these requests.
type unsent struct {
	*wire.Frame
	until time.Time
}

// resendUnread sends one-way requests that a peer will not run to other peers. forgotten is the number of those that were
// not kept.
func resendUnread(c *catalog, unread []*wire.Frame, forgotten int) {
	a := &resender{c: c}
	if forgotten > 0 {
		a.lose(forgotten, "", errForgotten)
	}
	now := time.Now()
	for _, f := range unread {
		until, ok := wire.CallerDeadline(now, f.Metadata)
		if latest := now.Add(resendTimeout); !ok || until.After(latest) {
			until = latest
		}
		a.left = append(a.left, unsent{f, until})
	}
	c.calls.Add(1) // Shutdown and Close wait for it
	started := c.spawnJob(func() {
		defer c.leave()
		a.send()
		a.report()
	})
	if !started {
		a.giveUp(ErrClosed)
		a.report()
		c.leave()
	}
}

var errForgotten = errors.New("too many one-way calls were unconfirmed")

// send sends requests until none is left.
func (a *resender) send() {
	for pause := minResendDelay; ; pause = min(2*pause, maxResendDelay) {
		hint := a.round()
		if len(a.left) == 0 {
			return
		}
		timer := time.NewTimer(max(min(hint, maxResendDelay), pause))
		select {
		case <-timer.C:
		case <-a.c.done:
			timer.Stop()
			a.giveUp(ErrClosed)
			return
		}
	}
}

// round tries each request once, unless another one of its service has failed in this round. hint is the time until an
// endpoint is dialled again.
func (a *resender) round() (hint time.Duration) {
	unavailable := map[string]error{}
	left := a.left[:0]
	for _, f := range a.left {
		err := unavailable[f.Service]
		if err == nil || !time.Now().Before(f.until) {
			err = a.sendOnce(f, err)
		}
		switch {
		case err == nil:
		case !goesElsewhere(err) || !time.Now().Before(f.until):
			a.lose(1, f.Service+"."+f.Method, err)
		default:
			left, unavailable[f.Service], hint = append(left, f), err, max(hint, code.From(err).RetryAfter)
		}
	}
	clear(a.left[len(left):])
	a.left = left
	return hint
}

// goesElsewhere reports whether a request that failed with err was provably not run and can be sent again.
func goesElsewhere(err error) bool {
	reason := code.From(err).Reason
	return !errors.Is(err, ErrClosed) && (reason == code.ReasonNoEndpoint || reason == code.ReasonDraining)
}

// sendOnce sends f once. After the deadline of f it returns an error that wraps before, the previous error.
func (a *resender) sendOnce(f unsent, before error) error {
	ctx, cancel := context.WithDeadline(context.Background(), f.until)
	defer cancel()
	if ctx.Err() != nil {
		return errors.Join(ended(ctx.Err(), "%s.%s was not sent", f.Service, f.Method), before)
	}
	s, err := a.c.service(f.Service)
	if err != nil {
		return err
	}
	cl := pooledCall(a.c)
	defer cl.end()
	cl.req, cl.service = f.Frame, s
	return cl.Attempt(ctx, 0, nil)
}

func (a *resender) lose(n int, method string, why error) {
	a.lost += n
	a.why = why
	if method != "" {
		a.where = method
	}
}

func (a *resender) giveUp(why error) {
	for _, f := range a.left {
		a.lose(1, f.Service+"."+f.Method, why)
	}
	a.left = nil
}

func (a *resender) report() {
	if a.lost > 0 {
		a.c.log.Warn("one-way calls lost: the peer closed the connection before it ran them, and no other endpoint is reachable",
			"calls", a.lost, "method", a.where, "error", a.why)
	}
}
