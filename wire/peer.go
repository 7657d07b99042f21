package wire

import (
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// serverInfo is what a Conn has learned about its server from received frames. Nothing is assumed: stock servers close the
// connection on anything they do not know.
type serverInfo struct {
	firstFrame chan struct{} // closed when a frame has arrived
	heard      bool          // firstFrame is closed; belongs to the reader
	introduced bool          // the server has introduced itself; belongs to the reader
	answered   atomic.Bool   // a response has arrived; a server of ours has introduced itself in the first
	ours       atomic.Bool   // the server has sent a key of ours, so it knows our extensions
	zstd       atomic.Bool   // it accepts zstd
}

// learn is called by the reader for each frame. It closes firstFrame last, so that waiters see what was learned.
func (i *serverInfo) learn(f *Frame) {
	if !i.introduced {
		if f.Type == Response && !i.answered.Load() {
			i.answered.Store(true)
		}
		if sentByOurs(f) {
			i.ours.Store(true)
			i.learnFeatures(f)
		}
	}
	if !i.heard {
		i.heard = true
		close(i.firstFrame)
	}
}

// learnFeatures parses the introduction, which need not be in the first frame with a key of ours.
func (i *serverInfo) learnFeatures(f *Frame) {
	_, named := f.Metadata.Lookup(MetaHost)
	list, accepting := f.Metadata.Lookup(MetaAcceptCompression)
	if i.introduced = named && accepting && f.Type == Response; i.introduced {
		i.zstd.Store(accepts(list, Zstd))
	}
}

// sentByOurs reports whether f shows that the server knows our keys. In a response only the host's name or the code of an
// error does: stock servers echo the other keys.
func sentByOurs(f *Frame) bool {
	if f.Type == Request {
		return f.Service == DrainPath
	}
	if _, named := f.Metadata.Lookup(MetaHost); named || f.Heartbeat {
		return named
	}
	return f.Status == StatusError && !lacksCode(f)
}

// stock reports whether the server is known not to be one of ours.
func (i *serverInfo) stock() bool { return i.answered.Load() && !i.ours.Load() }

// clientInfo is what a server has learned about the client of a connection.
type clientInfo struct {
	last      uint64 // sequence of the last accepted request, HeartbeatSeq before the first
	begun     uint64 // sequence of the last request that began to run, HeartbeatSeq before the first
	ours      bool   // the client has sent a key of ours
	notLegacy bool   // it is not a client of the easymicro of 2019
}

// accept learns from a request that is accepted or refused, and reports whether it is the first with a key of ours.
func (i *clientInfo) accept(req *Frame) (introduces bool) {
	i.last = req.Seq
	if !i.ours && hasKeyOfOurs(req.Metadata) {
		i.ours, i.notLegacy, introduces = true, true, true
	}
	if !i.notLegacy {
		i.notLegacy = req.Seq == 0 || req.Service != strings.ToLower(req.Service)
	}
	return introduces
}

// maybeLegacy reports whether the client may be easymicro 2019, which must be sent nothing unasked: it crashes on a
// heartbeat, and takes any frame with the sequence of a call in flight, such as a drain announcement, for the answer. Its
// sequences begin with 1, those of ours and of rpcx with 0, and its names are in lower case.
func (i *clientInfo) maybeLegacy() bool { return i.last != HeartbeatSeq && !i.notLegacy }

// drainFrame returns the frame that announces a drain. ok reports whether the client is known to understand it.
func (i *clientInfo) drainFrame(method string) (f *Frame, ok bool) {
	return &Frame{Type: Request, OneWay: true, Service: DrainPath, Method: method, Seq: i.last}, i.ours
}

// answerHeartbeat completes the response to a heartbeat with a key of ours: it adds the introduction and the last request
// that began to run.
func (i *clientInfo) answerHeartbeat(f *Frame, host string) {
	f.Metadata.Del(MetaHost) // the client's, if any
	introduce(&f.Metadata, host)
	i.ours, i.notLegacy = true, true
	if i.begun != HeartbeatSeq {
		f.Metadata.Set(MetaBegun, strconv.FormatUint(i.begun, 10))
	} else {
		f.Metadata.Del(MetaBegun)
	}
}

// understood is our value of MetaAcceptCompression.
const understood = "gzip,zstd"

// introduction adds the host's name and the accepted compressions to the first response after a client has sent a key of
// ours. Other clients receive neither.
type introduction struct{ state atomic.Int32 }

const (
	introWanted = 1
	introGiven  = 2
)

func (i *introduction) want() { i.state.CompareAndSwap(0, introWanted) }

// addTo adds the introduction to f, once, if f is the response to a call.
func (i *introduction) addTo(f *Frame, host string) {
	if i.state.Load() == introWanted && f.Type == Response && !f.Heartbeat && i.state.CompareAndSwap(introWanted, introGiven) {
		introduce(&f.Metadata, host)
	}
}

// introduce sets the keys of an introduction. The name of the host is set even if it is empty.
func introduce(m *Metadata, host string) {
	if _, ok := m.Lookup(MetaHost); !ok {
		m.Set(MetaHost, host)
	}
	m.Set(MetaAcceptCompression, understood)
}

func hasKeyOfOurs(m Metadata) bool {
	return slices.ContainsFunc(m, func(p [2]string) bool { return strings.HasPrefix(p[0], metaPrefix) })
}
