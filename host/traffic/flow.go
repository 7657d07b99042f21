package traffic

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Flow identifies calls that are counted together.
type Flow struct {
	Method  string     // Service/Method; a bounded number of them
	Caller  string     // empty if the caller is not identified
	Peer    netip.Addr // invalid if it is not known, as over unix sockets
	Code    code.Code
	Refused bool // see Method.Observe
	Others  Others
}

// Others is the fields of a Flow that are left out, since there were too many flows to count each apart.
type Others uint8

// What is left out. Each value includes those before it.
const (
	NoOthers Others = iota
	OtherPeers
	OtherCallers
	OtherMethods
)

// Failed reports whether the calls have failed: see Sum.
func (f *Flow) Failed() bool { return !f.Refused && failure(f.Code) }

// coarser returns the flow with one field less.
func (f Flow) coarser() Flow {
	f.Others++
	f.Peer = netip.Addr{}
	if f.Others >= OtherCallers {
		f.Caller = ""
	}
	if f.Others >= OtherMethods {
		f.Method = ""
	}
	return f
}

// hash returns a number that few flows share. It is cheaper than the hash of a map.
func (f *Flow) hash() uint32 {
	peer := f.Peer.As16()
	h := binary.NativeEndian.Uint64(peer[:8]) ^ binary.NativeEndian.Uint64(peer[8:]) ^ uint64(f.Code)
	if n := len(f.Caller); n > 0 {
		h ^= uint64(f.Caller[n-1])<<8 ^ uint64(f.Caller[0])<<16
	}
	if n := len(f.Method); n > 0 {
		h ^= uint64(f.Method[n-1])<<24 ^ uint64(n)<<32
	}
	return uint32(h * 0x9E3779B97F4A7C15 >> 32)
}

// maxCallerBytes bounds the names of callers that are kept.
const maxCallerBytes = 128

// Row is a Flow with its calls.
type Row struct {
	Flow
	Calls uint64
	Took  time.Duration // of all of them together
}

func (r *Row) count(calls uint64, took time.Duration) {
	r.Calls += calls
	r.Took += took
}

// flows is a table of flows with a bounded number of rows.
type flows struct {
	near [256]int32 // the last row by the first byte of the hash
	some [64]uint64 // one bit for each 12 bits of a hash: unless it is set, no row has that hash
	at   map[Flow]int32
	list []Row
	most int // rows, but for a few in which only codes differ
}

func newFlows(most int) flows {
	return flows{at: make(map[Flow]int32, most), list: make([]Row, 0, most), most: most}
}

// add counts calls. Without room for their flow, they count for a coarser one.
func (t *flows) add(f *Flow, calls uint64, took time.Duration) {
	key := *f
	for {
		hash := key.hash()
		some, bit := &t.some[hash>>6&63], uint64(1)<<(hash&63)
		if *some&bit != 0 {
			if r := t.find(&key, uint8(hash>>24)); r != nil {
				r.count(calls, took)
				return
			}
		}
		if len(t.list) < t.room(key.Others) {
			*some |= bit
			t.append(Row{key, calls, took})
			return
		}
		key = key.coarser()
	}
}

// find returns the row of a flow; nil: there is none.
func (t *flows) find(f *Flow, slot uint8) *Row {
	near := &t.near[slot]
	if i := int(*near); i < len(t.list) && t.list[i].Flow == *f {
		return &t.list[i]
	}
	i, ok := t.at[*f]
	if !ok {
		return nil
	}
	*near = i
	return &t.list[i]
}

func (t *flows) append(r Row) {
	r.Caller = strings.Clone(r.Caller) // it must not keep the message of a peer alive
	t.at[r.Flow] = int32(len(t.list))
	t.list = append(t.list, r)
}

// room returns how many rows there may be for one more of that kind.
func (t *flows) room(o Others) int {
	switch o {
	case NoOthers:
		return t.most / 2
	case OtherPeers:
		return t.most * 3 / 4
	case OtherCallers:
		return t.most
	case OtherMethods:
	}
	return t.most + 2*codes // one for each outcome
}

func (t *flows) reset() {
	clear(t.at)
	clear(t.some[:])
	clear(t.list)
	t.list = t.list[:0]
}
