package wire_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func drains(method string, last uint64) *wire.Frame {
	return &wire.Frame{OneWay: true, Service: wire.DrainPath, Method: method, Seq: last}
}

// several makes n calls at once and returns the requests as they arrived, and the channel of their errors by sequence.
func several(t *testing.T, c *wire.Conn, p *wiretest.Peer, n int) (reqs []*wire.Frame, errs []chan error) {
	t.Helper()
	byName := map[string]chan error{}
	for i := range n {
		name, ch := fmt.Sprint(i), make(chan error, 1)
		byName[name] = ch
		go func() {
			_, err := call(t.Context(), c, name, "")
			ch <- err
		}()
	}
	for range n {
		req := p.Receive()
		reqs, errs = append(reqs, req), append(errs, byName[req.Method])
	}
	return reqs, errs
}

func TestSequencesAreInTheOrderOfTheWire(t *testing.T) {
	c, p := facing(t, wire.ConnOptions{})
	reqs, _ := several(t, c, p, 50)
	for i, req := range reqs {
		if req.Seq != uint64(i) {
			t.Fatalf("request %d has sequence %d", i, req.Seq)
		}
	}
}

func TestCallsThatThePeerNeverReadMayBeSentElsewhere(t *testing.T) {
	c, p := facing(t, wire.ConnOptions{})
	reqs, errs := several(t, c, p, 4)
	p.Send(drains("", 0), drains("last", 1))
	for i, err := range errs[2:] {
		e := <-err
		wantError(t, e, code.Unavailable, code.ReasonDraining)
		if !code.NotRun(code.From(e).Reason) || code.Edge(e).Reason != "" {
			t.Errorf("call %d: %v", i, e)
		}
	}
	if _, err := call(t.Context(), c, "Late", ""); code.From(err).Reason != code.ReasonDraining {
		t.Errorf("a call behind the last one: %v", err)
	}
	err := c.Do(t.Context(), wiretest.OneWay(0, "Test", "Late", wire.Raw, nil), nil)
	wantError(t, err, code.Unavailable, code.ReasonDraining)
	answer(p, reqs[0], "y")
	if err := <-errs[0]; err != nil {
		t.Errorf("what was read is answered: %v", err)
	}
	_ = p.Close()
	wantError(t, <-errs[1], code.Unavailable, code.ReasonConnectionLost)
}

func TestUnreadCallsAreReturned(t *testing.T) {
	c, p := facing(t, wire.ConnOptions{})
	_, errs := several(t, c, p, 2)
	p.Send(drains("last", wire.HeartbeatSeq))
	for _, err := range errs {
		wantError(t, <-err, code.Unavailable, code.ReasonDraining)
	}
}

// Frames after the first may have been accepted before the peer crashed.
func TestOnlyTheLastDrainFrameProvesThatCallsWereNotRead(t *testing.T) {
	c, p := facing(t, wire.ConnOptions{})
	_, errs := several(t, c, p, 2)
	p.Send(drains("", 0))
	_ = p.Close()
	for _, err := range errs {
		wantError(t, <-err, code.Unavailable, code.ReasonConnectionLost)
	}
}

func TestOnChangeIsCalledForTheDrainAndTheEnd(t *testing.T) {
	near, far := wiretest.Pipe()
	changes := make(chan struct{}, 2)
	c := wire.NewConn(near, wire.ConnOptions{OnChange: func() { changes <- struct{}{} }})
	p := wiretest.NewPeer(t, far)
	p.Send(drains("", 0))
	<-changes
	if !c.Draining() || c.Err() != nil {
		t.Errorf("draining %v, ended with %v", c.Draining(), c.Err())
	}
	_ = c.Close()
	<-changes
	if !errors.Is(c.Err(), wire.ErrConnClosed) {
		t.Errorf("ended with %v", c.Err())
	}
}

func TestACutServerAnnouncesWhatItNeverRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran sync.Map
		r := newRig(t, func(ctx context.Context, req, _ *wire.Frame) error {
			ran.Store(req.Method, true)
			<-ctx.Done()
			return nil
		}, wire.Limits{MaxInFlight: 2})
		c := r.client(t, wire.ConnOptions{})
		var reasons [6]string
		var calls sync.WaitGroup
		for i := range reasons {
			calls.Go(func() {
				_, err := call(t.Context(), c, fmt.Sprint(i), "")
				reasons[i] = code.From(err).Reason
			})
		}
		synctest.Wait()
		grace, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = r.Shutdown(grace)
		calls.Wait()
		unread := 0
		for i, reason := range reasons {
			_, hasRun := ran.Load(fmt.Sprint(i))
			if reason == code.ReasonDraining {
				unread++
			}
			if (reason == code.ReasonDraining) == hasRun {
				t.Errorf("call %d: run %v, reason %s", i, hasRun, reason)
			}
		}
		if unread != len(reasons)-2 {
			t.Errorf("%d calls were never read", unread)
		}
		r.stop()
	})
}
