package wire

import (
	"encoding/binary"
	"slices"
)

// keptBytes is how much of one-way requests a connection keeps. A lone one is never too much.
const keptBytes = 1 << 20

// unread is the one-way requests that a peer has perhaps not read: nothing that was sent behind them has been answered.
// When it says that it never read them they are sent elsewhere, as far back as they are kept.
type unread struct {
	frames []byte // the first is at begin
	begin  int
}

// add keeps f.
func (u *unread) add(f *Frame) {
	n := int(f.size())
	for u.begin < len(u.frames) && len(u.frames)-u.begin+n > keptBytes {
		u.skip()
	}
	switch {
	case u.begin == len(u.frames):
		u.frames, u.begin = u.frames[:0], 0
	case u.begin > keptBytes:
		u.frames = append(u.frames[:0], u.frames[u.begin:]...)
		u.begin = 0
	}
	u.frames = AppendFrame(u.frames, f)
}

// skip forgets the first frame.
func (u *unread) skip() {
	u.begin += HeaderBytes + int(binary.BigEndian.Uint32(u.frames[u.begin+12:]))
}

func (u *unread) first() uint64 { return binary.BigEndian.Uint64(u.frames[u.begin+4:]) }

// read forgets those up to the sequence last, which have been read.
func (u *unread) read(last uint64) {
	for u.begin < len(u.frames) && u.first() <= last {
		u.skip()
	}
	if u.begin == len(u.frames) {
		if cap(u.frames) > segmentKeep {
			u.frames = nil
		}
		u.frames, u.begin = u.frames[:0], 0
	}
}

// behind are those behind the sequence last; all of them when it is HeartbeatSeq.
func (u *unread) behind(last uint64) []*Frame {
	if last != HeartbeatSeq {
		u.read(last)
	}
	var all []*Frame
	lim := Limits{MaxMessageBytes: maxPayload, MaxMetadataBytes: maxPayload, MaxMetadataPairs: maxPayload, MaxNameBytes: maxPayload}
	for rest := u.frames[u.begin:]; len(rest) > 0; {
		f, behind, err := ParseFrame(rest, lim)
		if err != nil {
			break // never: we made it
		}
		f.Payload = slices.Clone(f.Payload)
		all, rest = append(all, &f), behind
	}
	*u = unread{}
	return all
}
