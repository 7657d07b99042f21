package wire

import "sync/atomic"

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
