package wire

import (
	"strings"
	"sync/atomic"
)

// learned is what a calling connection has learned of its peer by what came from it. Nothing of it is assumed: stock
// peers end the connection when they are sent what they do not know.
type learned struct {
	spoken   chan struct{} // closed when a frame has come
	heard    bool          // that it is closed; belongs to the reader
	answered atomic.Bool   // a response has come: one of ours has shown with the first who it is
	ours     atomic.Bool   // it has shown a key of ours, and so knows what there is besides
	zstd     atomic.Bool   // it takes payloads that are compressed with it
}

// from learns from a frame that has come. It is called by the reader alone. Who waits for spoken finds what the frame told.
func (l *learned) from(f *Frame) {
	if !l.ours.Load() {
		if f.Type == Response && !l.answered.Load() {
			l.answered.Store(true)
		}
		if showsOurs(f) {
			l.zstd.Store(accepts(f.Metadata.Get(MetaAcceptCompression), Zstd))
			l.ours.Store(true)
		}
	}
	if !l.heard {
		l.heard = true
		close(l.spoken)
	}
}

// showsOurs reports whether f comes from a peer that knows our keys. Of a heartbeat only the host's name shows that: stock
// peers send the rest back as they got it.
func showsOurs(f *Frame) bool {
	if f.Type == Request {
		return f.Service == DrainPath
	}
	for _, pair := range f.Metadata {
		if strings.HasPrefix(pair[0], metaPrefix) && (!f.Heartbeat || pair[0] == MetaHost) {
			return true
		}
	}
	return false
}

// stock reports whether the peer has shown that it is none of ours.
func (l *learned) stock() bool { return l.answered.Load() && !l.ours.Load() }
