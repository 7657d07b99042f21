package wire

import (
	"sync"

	"github.com/easymicro/easymicro/wire/code"
)

// What the calls of one connection can make a server hold. A lone call is never too much.
const (
	roomFactor  = 16 // times MaxMessageBytes of requests in flight: then the connection is not read on
	plainFactor = 4  // times MaxDecompressedBytes of decompressed requests: then others wait to be decompressed
)

// full tells whether the connection has to be left unread. It needs c.mu.
func (c *serverConn) full() bool {
	return !c.deaf && (c.inFlight.n >= c.lim.MaxInFlight || c.inFlight.bytes >= roomFactor*int64(c.lim.MaxMessageBytes))
}

// resume has the reader go on if it waits for room. It needs c.mu.
func (c *serverConn) resume() {
	if c.stopped {
		c.stopped = false
		c.room <- struct{}{}
	}
}

// decompress makes the request of t plain. It waits until there is room for what comes out, which is given back by done.
func (c *serverConn) decompress(t *task) error {
	used, packed := t.req.Compression, t.req.Payload
	if err := c.takeRoom(t, decompressedSize(used, packed, c.lim.MaxDecompressedBytes)); err != nil {
		return err
	}
	plain, err := Decompress(t.plain[:0], used, packed, c.lim.MaxDecompressedBytes)
	if err != nil {
		c.srv.observer.WireError(code.From(err).Reason)
		return err
	}
	t.plain, t.req.Payload = packed, plain
	t.used, t.req.Compression = used, NoCompression
	return nil
}

func (c *serverConn) takeRoom(t *task, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := plainFactor * int64(c.lim.MaxDecompressedBytes)
	for !c.ended && c.plain > 0 && c.plain+int64(n) > most {
		if c.plainLess == nil {
			c.plainLess = sync.NewCond(&c.mu)
		}
		c.plainLess.Wait()
	}
	if c.ended {
		return code.Refuse(code.Cancelled, code.ReasonCancelled, "the caller went away", "", "", 0)
	}
	t.room = n
	c.plain += int64(n)
	c.tellRoom() // the next one may fit as well
	return nil
}

// giveRoom needs c.mu.
func (c *serverConn) giveRoom(t *task) {
	if t.room > 0 {
		c.plain -= int64(t.room)
		c.tellRoom()
	}
}

// tellRoom wakes one of those who wait for room; whoever gets it wakes the next. It needs c.mu.
func (c *serverConn) tellRoom() {
	if c.plainLess != nil {
		c.plainLess.Signal()
	}
}
