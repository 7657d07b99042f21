package wire_test

import (
	"net"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// Nobody reads right after a call. The peer closes the connection then, a millisecond before the next one.
func TestACallAfterTheEndIsNotSent(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for range 20 {
		near, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c := wire.NewConn(near, wire.ConnOptions{})
		p := wiretest.NewPeer(t, far)
		for range 2 {
			first := calling(t.Context(), c, "First", "")
			answer(p, p.Receive(), "for First")
			<-first
		}
		_ = far.(*net.TCPConn).CloseWrite()
		time.Sleep(time.Millisecond)
		err = <-calling(t.Context(), c, "Next", "")
		if e := code.From(err); e == nil || e.Reason != code.ReasonNoEndpoint || !c.EndedIdle() {
			t.Errorf("%v, idle %v", err, c.EndedIdle())
		}
	}
}
