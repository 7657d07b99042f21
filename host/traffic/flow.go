package traffic

import (
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

// slot returns a number that few flows share. It is cheaper than the hash of a map.
func (f *Flow) slot() uint8 {
	peer := f.Peer.As16()
	h := peer[15] ^ peer[14]<<3 ^ peer[7] ^ uint8(f.Code)<<4
	if n := len(f.Caller); n > 0 {
		h = h*31 + f.Caller[n-1] + f.Caller[0]
	}
	if n := len(f.Method); n > 0 {
		h = h*31 + f.Method[n-1] + uint8(n)
	}
	return h
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
	near [256]int32 // the last row of a slot
	at   map[Flow]int32
	list []Row
	most int // rows, but for a few in which only codes differ
}

func newFlows(most int) flows {
	return flows{at: make(map[Flow]int32, most), list: make([]Row, 0, most), most: most}
}

// add counts calls. Without room for their flow, they count for a coarser one.
func (t *flows) add(f *Flow, calls uint64, took time.Duration) {
	near := &t.near[f.slot()]
	if i := int(*near); i < len(t.list) && t.list[i].Flow == *f {
		t.list[i].count(calls, took)
		return
	}
	key := *f
	for {
		if i, ok := t.at[key]; ok {
			*near = i
			t.list[i].count(calls, took)
			return
		}
		if len(t.list) < t.room(key.Others) {
			break
		}
		key = key.coarser()
	}
	key.Caller = strings.Clone(key.Caller) // it must not keep the message of a peer alive
	t.at[key] = int32(len(t.list))
	t.list = append(t.list, Row{key, calls, took})
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
	clear(t.list)
	t.list = t.list[:0]
}
