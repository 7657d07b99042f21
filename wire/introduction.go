package wire

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// understood is what requests may be compressed with, as the value of MetaAcceptCompression.
const understood = "gzip,zstd"

// introduction is what a peer that has shown a key of ours learns with the first response after that, and with the answer
// to each heartbeat that shows one: the name of this host, and what it can decompress. Other peers are told nothing.
type introduction struct{ state atomic.Int32 }

const (
	introWanted = 1
	introGiven  = 2
)

func (i *introduction) wanted() { i.state.CompareAndSwap(0, introWanted) }

// give adds the introduction to the response to a call, once.
func (i *introduction) give(f *Frame, host string) {
	if i.state.Load() == introWanted && f.Type == Response && !f.Heartbeat && i.state.CompareAndSwap(introWanted, introGiven) {
		introduce(&f.Metadata, host)
	}
}

// introduce sets what peers of ours know a host by: its name, even if it has none.
func introduce(m *Metadata, host string) {
	if _, ok := m.Lookup(MetaHost); !ok {
		m.Set(MetaHost, host)
	}
	m.Set(MetaAcceptCompression, understood)
}

// greet makes the response to a heartbeat. It goes back as it came, but to a peer that shows a key of ours with it: that
// learns who answers and what is understood here, before its first call, and how far its calls have got.
func (c *serverConn) greet(f *Frame) {
	f.Type = Response
	if !hasKeyOfOurs(f.Metadata) {
		return
	}
	f.Metadata.Del(MetaHost) // which would be the peer's
	introduce(&f.Metadata, c.srv.host)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ours, c.modern = true, true
	if c.begun != HeartbeatSeq {
		f.Metadata.Set(MetaBegun, strconv.FormatUint(c.begun, 10))
	} else {
		f.Metadata.Del(MetaBegun)
	}
}

func hasKeyOfOurs(m Metadata) bool {
	return slices.ContainsFunc(m, func(p [2]string) bool { return strings.HasPrefix(p[0], metaPrefix) })
}
