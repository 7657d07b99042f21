package client

import (
	"context"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// againWithin is how long one-way requests that a peer has not read are sent again, when they have no deadline.
const againWithin = 10 * time.Second

// sendAgain sends one-way requests elsewhere that a peer has not read. Whoever made them has been told that they are on
// their way.
func (c *Client) sendAgain(unread []*wire.Frame) {
	c.spawn(func() {
		lost, why := 0, error(nil)
		for _, f := range unread {
			if err := c.tellAgain(f); err != nil {
				lost, why = lost+1, err
			}
		}
		if lost > 0 {
			c.log.Warn("one-way calls are lost: the peer ended the connection before it read them, and they could not be sent again",
				"calls", lost, "service", unread[0].Service, "error", why)
		}
	})
}

func (c *Client) tellAgain(f *wire.Frame) error {
	until, ok := wire.CallerDeadline(time.Now(), f.Metadata)
	if !ok {
		until = time.Now().Add(againWithin)
	}
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	s, err := c.service(f.Service)
	if err != nil {
		return err
	}
	cl := c.fresh()
	defer cl.end()
	cl.req, cl.service = f, s
	return cl.Attempt(ctx, 0, nil)
}
