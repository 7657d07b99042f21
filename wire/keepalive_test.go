package wire_test

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func TestHeartbeatsAreSentOnlyDuringSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := facing(t, wire.ConnOptions{KeepaliveInterval: 10 * time.Second, KeepaliveTimeout: 3 * time.Second})
		begin := time.Now()
		for range 30 { // data flows
			time.Sleep(time.Second)
			p.Send(&wire.Frame{Type: wire.Response, Seq: 1000})
		}
		f := p.Receive()
		if took := time.Since(begin); !f.Heartbeat || f.Type != wire.Request || took != 40*time.Second {
			t.Errorf("got %+v after %v, want a heartbeat after 40 s", f, took)
		}
		time.Sleep(2 * time.Second)
		f.Type = wire.Response
		p.Send(f)
		if f := p.Receive(); !f.Heartbeat || time.Since(begin) != 52*time.Second {
			t.Errorf("got %+v after %v, want a heartbeat 10 s after the last byte", f, time.Since(begin))
		}
		<-c.Done()
		if took := time.Since(begin); took != 55*time.Second {
			t.Errorf("dead after %v, want 13 s after the last byte", took)
		}
		_ = p.Close()
	})
}

func TestTheTimeoutDoesNotDelayHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, p := facing(t, wire.ConnOptions{KeepaliveInterval: 200 * time.Millisecond, KeepaliveTimeout: 3 * time.Second})
		begin := time.Now()
		for range 10 {
			f := p.Receive()
			f.Type = wire.Response
			p.Send(f)
		}
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("10 heartbeats in %v, want one each 200 ms", took)
		}
		p.Receive()
		asked := time.Now()
		if _, err := p.TryReceive(); err == nil || time.Since(asked) != 3*time.Second {
			t.Errorf("%v after the last heartbeat: %v, want the end after 3 s", time.Since(asked), err)
		}
	})
}

// watched counts the deadlines that are set for its reads. The first read is late.
type watched struct {
	net.Conn
	late      time.Duration
	deadlines atomic.Int64
}

func (w *watched) Read(b []byte) (int, error) {
	time.Sleep(w.late)
	w.late = 0
	return w.Conn.Read(b)
}

func (w *watched) SetReadDeadline(t time.Time) error {
	w.deadlines.Add(1)
	return w.Conn.SetReadDeadline(t)
}

func TestBusyConnectionsSetNoDeadlineForEachRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := wiretest.Pipe()
		nc := &watched{Conn: near}
		c := wire.NewConn(nc, wire.ConnOptions{})
		p := wiretest.NewPeer(t, far)
		for range 1000 {
			time.Sleep(50 * time.Millisecond)
			p.Send(&wire.Frame{Type: wire.Response, Seq: 1000})
		}
		if n := nc.deadlines.Load(); n > 10 {
			t.Errorf("%d deadlines were set in 50 s", n)
		}
		_ = c.Close()
		_ = p.Close()
	})
}

func TestAPauseOfTheProcessIsNotTakenForSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := wiretest.Pipe()
		c := wire.NewConn(&watched{Conn: near, late: time.Hour}, wire.ConnOptions{}) // as when the process is stopped
		p := wiretest.NewPeer(t, far)
		done := make(chan error, 1)
		go func() {
			_, err := call(t.Context(), c, "Slow", "")
			done <- err
		}()
		answer(p, p.Receive(), "")
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = c.Close()
		_ = p.Close()
	})
}

func TestBlackHoledPeerIsDetectedEvenIfItReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := facing(t, wire.ConnOptions{})
		begin := time.Now()
		_, err := call(t.Context(), c, "Big", string(make([]byte, 1<<20))) // more than the network holds
		wantError(t, err, code.Unavailable, code.ReasonConnectionLost)
		if took := time.Since(begin); took > 13*time.Second {
			t.Errorf("dead after %v", took)
		}
	})
}

// The heartbeat waits behind a long request until right before the timeout, which restarts when the request is written.
func TestAHeartbeatBehindALongRequestHasTheWholeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := wiretest.Pipe()
		c := wire.NewConn(near, wire.ConnOptions{})
		req := wiretest.With(wiretest.OneWay(0, "Test", "Long", wire.Raw, make([]byte, 200<<10)), wire.MetaAcceptCompression, "none")
		if err := c.Do(t.Context(), req, nil); err != nil {
			t.Fatal(err)
		}
		length := int64(len(wire.AppendFrame(nil, req)))
		take := func(n int64) {
			if _, err := io.CopyN(io.Discard, far, n); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(5 * time.Second)
		take(64 << 10)
		time.Sleep(7900 * time.Millisecond)
		take(length - 64<<10)
		time.Sleep(2 * time.Second)
		wiretest.NewPeer(t, far).Greet()
		synctest.Wait()
		if c.Err() != nil {
			t.Errorf("a slow link is taken for a dead peer: %v", c.Err())
		}
		time.Sleep(10*time.Second + 3*time.Second)
		synctest.Wait()
		if c.Err() == nil {
			t.Error("a dead peer is not found")
		}
		_ = far.Close()
		_ = c.Close()
	})
}
