package wire

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// learned is what a calling connection has learned of its peer by what came from it. Nothing of it is assumed: stock
// peers end the connection when they are sent what they do not know.
type learned struct {
	spoken   chan struct{} // closed when a frame has come
	heard    bool          // that it is closed; belongs to the reader
	met      bool          // the peer has introduced itself; belongs to the reader
	answered atomic.Bool   // a response has come: one of ours has shown with the first who it is
	ours     atomic.Bool   // it has shown a key of ours, and so knows what there is besides
	zstd     atomic.Bool   // it takes payloads that are compressed with it
}

// from learns from a frame that has come. It is called by the reader alone. Who waits for spoken finds what the frame told.
func (l *learned) from(f *Frame) {
	if !l.met {
		if f.Type == Response && !l.answered.Load() {
			l.answered.Store(true)
		}
		if showsOurs(f) {
			l.ours.Store(true)
			l.meet(f)
		}
	}
	if !l.heard {
		l.heard = true
		close(l.spoken)
	}
}

// meet learns what a peer of ours understands, which need not be in the first frame that shows a key of ours.
func (l *learned) meet(f *Frame) {
	_, named := f.Metadata.Lookup(MetaHost)
	list, understands := f.Metadata.Lookup(MetaAcceptCompression)
	if l.met = named && understands && f.Type == Response; l.met {
		l.zstd.Store(accepts(list, Zstd))
	}
}

// showsOurs reports whether f comes from a peer that knows our keys. Of a response only what a host of ours says of itself
// shows that, with an error its code: stock peers send the rest back as they got it.
func showsOurs(f *Frame) bool {
	if f.Type == Request {
		return f.Service == DrainPath
	}
	if _, named := f.Metadata.Lookup(MetaHost); named || f.Heartbeat {
		return named
	}
	return f.Status == StatusError && !knowsNoCodes(f)
}

// stock reports whether the peer has shown that it is none of ours.
func (l *learned) stock() bool { return l.answered.Load() && !l.ours.Load() }

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
