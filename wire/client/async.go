package client

import "context"

// Pending is a call that Go has made. Reply and Err are the caller's to read when the Pending has come over Done.
type Pending struct {
	Service string
	Method  string
	Reply   any           // what Go was given, filled when the call has ended well
	Err     error         // of the call, when it has ended
	Done    chan *Pending // gets the Pending when the call has ended
}

// Go is Call without waiting: the Pending comes over done when the call has ended. A nil done makes a channel for it. One
// that is given must have room for all calls that it is given for; a Pending for which there is none is dropped. args may
// be used again at once.
func (c *Client) Go(ctx context.Context, service, method string, args, reply any, done chan *Pending, o ...CallOption) *Pending {
	if done == nil {
		done = make(chan *Pending, 1)
	}
	p := &Pending{Service: service, Method: method, Reply: reply, Done: done}
	cl, err := c.newCall(service, method, args, o)
	if err != nil {
		p.end(err)
		return p
	}
	started := c.spawn(func() {
		err := cl.finish(ctx, reply)
		cl.end()
		p.end(err)
	})
	if !started {
		cl.end()
		p.end(closedError())
	}
	return p
}

func (p *Pending) end(err error) {
	p.Err = err
	select {
	case p.Done <- p:
	default: // as net/rpc has it: a client does not block for a program that does not read
	}
}
