package main

import (
	"net"
	"runtime"
	"sync"
)

// bigBuffer has room for what a hundred callers send.
const bigBuffer = 64 << 10

// outbox writes what many goroutines append, in as few system calls as it can.
type outbox struct {
	conn  net.Conn
	wake  chan struct{}
	ended chan struct{}

	mu     sync.Mutex
	queued []byte
}

func newOutbox(conn net.Conn) *outbox {
	o := &outbox{conn: conn, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go o.run()
	return o
}

// add appends a frame; encode appends it to its argument.
func (o *outbox) add(encode func(dst []byte) ([]byte, error)) error {
	o.mu.Lock()
	first := len(o.queued) == 0
	var err error
	o.queued, err = encode(o.queued)
	o.mu.Unlock()
	if first {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
	return err
}

// run writes until close, or until a write fails.
func (o *outbox) run() {
	var writing []byte
	for {
		select {
		case <-o.wake:
		case <-o.ended:
			return
		}
		runtime.Gosched() // those that are about to append come first
		o.mu.Lock()
		writing, o.queued = o.queued, writing[:0]
		o.mu.Unlock()
		if _, err := o.conn.Write(writing); err != nil {
			return
		}
	}
}

func (o *outbox) close() { close(o.ended) }
