package host_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// relay passes bytes on to an address until it is cut.
type relay struct {
	address string
	mu      sync.Mutex
	conns   []net.Conn
}

// relayed passes connections of ln on, if the caller is let in; nil lets all in.
func relayed(t *testing.T, ln net.Listener, to string, letIn func(net.Conn) bool) *relay {
	t.Helper()
	r := &relay{address: ln.Addr().String()}
	var all sync.WaitGroup
	t.Cleanup(func() {
		_ = ln.Close()
		r.cut()
		all.Wait()
	})
	all.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer in.Close()
				if letIn == nil || letIn(in) {
					r.pass(in, to)
				}
			})
		}
	})
	return r
}

// cuttable is a relay on a port of its own.
func cuttable(t *testing.T, to string) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	return relayed(t, ln, to, nil)
}

func (r *relay) pass(in net.Conn, to string) {
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	r.mu.Lock()
	r.conns = append(r.conns, in, out)
	r.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(in, out)
		_ = in.Close()
	})
	_, _ = io.Copy(out, in)
	_ = out.Close()
	back.Wait()
}

func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.conns = nil
}
