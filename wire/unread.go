package wire

import (
	"encoding/binary"
	"strconv"
	"time"
)

const (
	keptChunk = 64 << 10 // memory of requests that are kept; longer ones have their own
	askBytes  = 1 << 20  // of them, for which the peer is asked how far it has got
)

// unread is the one-way requests that a peer has perhaps not begun to run. When it says that it never will they are sent
// elsewhere.
type unread struct {
	most   int64 // bytes, beyond which the oldest are forgotten
	list   []kept
	begin  int // of list
	bytes  int64
	chunk  []byte
	forgot struct {
		n    int
		last uint64
	}
}

// kept is a one-way request that was sent.
type kept struct {
	seq   uint64
	until time.Time // its deadline; zero: none
	frame []byte
}

// keepable returns f as it is kept, but for its sequence. What is long is copied here, since add is called under locks.
func keepable(f *Frame) (k kept) {
	if f.size() > keptChunk/4 {
		k.frame = AppendFrame(make([]byte, 0, f.size()), f)
	}
	k.until, _ = CallerDeadline(time.Now(), f.Metadata)
	return k
}

// add keeps f, which keepable made k of.
func (u *unread) add(f *Frame, k kept) {
	if k.seq = f.Seq; k.frame != nil {
		binary.BigEndian.PutUint64(k.frame[4:], f.Seq)
	} else {
		k.frame = u.small(f)
	}
	u.bytes += int64(len(k.frame))
	for u.begin < len(u.list) && u.bytes > u.most {
		u.forgot.n++
		u.forgot.last = u.list[u.begin].seq
		u.skip()
	}
	if u.begin > len(u.list)/2 {
		n := copy(u.list, u.list[u.begin:])
		clear(u.list[n:])
		u.list, u.begin = u.list[:n], 0
	}
	u.list = append(u.list, k)
}

// small appends f to a chunk that it shares with others.
func (u *unread) small(f *Frame) []byte {
	begin := len(u.chunk)
	if int64(cap(u.chunk)-begin) < f.size() {
		u.chunk, begin = make([]byte, 0, keptChunk), 0
	}
	u.chunk = AppendFrame(u.chunk, f)
	return u.chunk[begin:len(u.chunk):len(u.chunk)]
}

// skip forgets the first one.
func (u *unread) skip() {
	k := &u.list[u.begin]
	u.bytes -= int64(len(k.frame))
	*k = kept{}
	u.begin++
}

// run forgets those up to the sequence last, which have begun to run.
func (u *unread) run(last uint64) {
	for u.begin < len(u.list) && u.list[u.begin].seq <= last {
		u.skip()
	}
	if u.forgot.last <= last {
		u.forgot.n = 0
	}
	if u.empty() {
		u.list, u.begin, u.chunk = u.list[:0], 0, u.chunk[:0]
	}
}

func (u *unread) empty() bool { return u.begin == len(u.list) }

// behind returns those behind the sequence last, and how many more there were; all of them when it is HeartbeatSeq. Their
// deadlines are what is left of them.
func (u *unread) behind(last uint64) (all []*Frame, forgotten int) {
	if last != HeartbeatSeq {
		u.run(last)
	}
	now := time.Now()
	lim := Limits{MaxMessageBytes: maxPayload, MaxMetadataBytes: maxPayload, MaxMetadataPairs: maxPayload, MaxNameBytes: maxPayload}
	for _, k := range u.list[u.begin:] {
		f, _, err := ParseFrame(k.frame, lim)
		if err != nil {
			continue // never: we made it
		}
		if !k.until.IsZero() {
			f.Metadata.Set(MetaTimeout, strconv.FormatInt(max(k.until.Sub(now).Milliseconds(), 0), 10))
		}
		all = append(all, &f)
	}
	forgotten = u.forgot.n
	*u = unread{most: u.most}
	return all, forgotten
}
