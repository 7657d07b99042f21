package wire

import "strings"

// know learns from a request who the peer is. It needs c.mu.
func (c *serverConn) know(req *Frame) {
	c.last = req.Seq
	if !c.ours && hasKeyOfOurs(req.Metadata) {
		c.ours, c.modern = true, true
		c.intro.wanted()
	}
	if !c.modern {
		c.modern = req.Seq == 0 || req.Service != strings.ToLower(req.Service)
	}
}

// mayBeOriginal tells whether the peer may be a client of the original easymicro, to which nothing may be sent that it
// has not asked for: it crashes on a heartbeat that it does not wait for, and takes any frame with the sequence of a call
// that is out for the answer, the frame that tells of a drain too. It counts from 1, where our clients and those of rpcx
// count from 0, and knows names in lower case only. It needs c.mu.
func (c *serverConn) mayBeOriginal() bool { return c.last != HeartbeatSeq && !c.modern }
