package wire_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// Nobody reads right after a call. The peer closes the connection then, and some time before the next one.
func TestACallAfterTheEndIsNotSent(t *testing.T) {
	const restTime = 2 * time.Millisecond
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	noticed := 0
	for range 1000 {
		near, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		opened := time.Now()
		c := wire.NewConn(near, wire.ConnOptions{})
		p := wiretest.NewPeer(t, far)
		for range 2 {
			first := calling(context.Background(), c, "First", "")
			answer(p, p.Receive(), "for First")
			<-first
		}
		_ = far.(*net.TCPConn).CloseWrite()
		time.Sleep(300 * time.Microsecond)
		err = <-calling(context.Background(), c, "Next", "")
		if time.Since(opened) >= restTime {
			continue // the connection may have been read again
		}
		if e := code.From(err); e == nil || e.Reason != code.ReasonNoEndpoint || !c.EndedIdle() {
			t.Errorf("%v, idle %v", err, c.EndedIdle())
		}
		if noticed++; noticed == 20 {
			return
		}
	}
	if noticed == 0 {
		t.Skip("the machine is too slow to tell")
	}
}
