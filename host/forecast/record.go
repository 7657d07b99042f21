package forecast

import (
	"net/netip"
	"strings"
	"time"

	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// codes is the number of status codes.
const codes = int(code.Unauthenticated) + 1

// record is the traffic as it reaches the rules: by cells of calls that have the same method, caller and peer.
type record struct {
	length  time.Duration
	calls   float64
	unnamed float64 // calls whose methods are not counted apart
	cells   []cell
	spans   []span
	latency map[string]*traffic.Latency
}

// cell is calls with the same method, caller and peer.
type cell struct {
	policies.Calls
	method    string // Service/Method
	old, next policies.Meeting
	all       load
	latency   *traffic.Latency // of the method
}

// span is the calls of some seconds, by cell.
type span struct {
	length time.Duration
	loads  []load
}

// load is the calls of a cell in a span.
type load struct {
	cell     int
	calls    float64
	judged   float64 // that reached the handler
	timedOut float64 // of these, ended by a timeout of the rules
	took     float64 // seconds, of judged calls
	byCode   [codes]float64
}

// maxCells bounds the cells, for each of which the rules that apply are found. Of further peers and callers, only the methods are known.
const maxCells = 4096

// cellKey identifies a cell.
type cellKey struct {
	method, caller string
	peer           netip.Addr
	others         traffic.Others
}

// room returns how many cells there may be for one more of that kind.
func (k cellKey) room() int {
	if k.others == traffic.NoOthers {
		return maxCells / 2
	}
	return maxCells * (1 + int(k.others)) / (1 + int(traffic.OtherCallers))
}

// coarser returns the key without the peer, or else without the caller.
func (k cellKey) coarser() cellKey {
	k.others++
	k.peer = netip.Addr{}
	if k.others >= traffic.OtherCallers {
		k.caller = ""
	}
	return k
}

// unserved is how methods are counted that are not counted apart.
const unserved = "_OTHER"

func newRecord(e *Edit, t *Traffic) *record {
	r := &record{latency: make(map[string]*traffic.Latency)}
	at := make(map[cellKey]int)
	var in []int // the index of a cell in the loads of the span, plus one
	for _, s := range t.Spans {
		sp := span{length: max(s.Length, time.Millisecond)}
		r.length += sp.length
		for i := range s.Rows {
			row := &s.Rows[i]
			service, method, _ := strings.Cut(row.Method, "/")
			if row.Refused && (row.Code == code.Unauthenticated || row.Code == code.Unimplemented) || row.Method == unserved {
				continue // no rule is asked about it
			}
			if method == "" || method == unserved {
				r.unnamed += float64(row.Calls)
				continue
			}
			k := cellKey{row.Method, row.Caller, row.Peer, row.Others}
			n, known := at[k]
			for !known && len(r.cells) >= k.room() && k.others < traffic.OtherCallers {
				k = k.coarser()
				n, known = at[k]
			}
			if !known && len(r.cells) >= k.room() {
				r.unnamed += float64(row.Calls)
				continue
			}
			if !known {
				n = len(r.cells)
				at[k], in = n, append(in, 0)
				r.cells = append(r.cells, r.newCell(e, t, &k, policies.Target{Service: service, Method: method}))
			}
			if in[n] == 0 {
				sp.loads = append(sp.loads, load{cell: n})
				in[n] = len(sp.loads)
			}
			sp.loads[in[n]-1].add(row)
			r.cells[n].all.add(row)
			r.calls += float64(row.Calls)
		}
		for i := range sp.loads {
			in[sp.loads[i].cell] = 0
		}
		r.spans = append(r.spans, sp)
	}
	return r
}

func (r *record) newCell(e *Edit, t *Traffic, k *cellKey, target policies.Target) cell {
	c := cell{method: k.method, Calls: policies.Calls{
		Target: target, Caller: k.caller, Peer: k.peer, AnyCaller: k.others >= traffic.OtherCallers, AnyPeer: k.others >= traffic.OtherPeers,
	}}
	c.old, c.next = e.Old.Rules.Meet(&c.Calls), e.Next.Rules.Meet(&c.Calls)
	if c.latency = r.latency[k.method]; c.latency == nil {
		l := t.Latency(k.method)
		c.latency = &l
		r.latency[k.method] = c.latency
	}
	return c
}

func (l *load) add(row *traffic.Row) {
	n := float64(row.Calls)
	l.calls += n
	if row.Refused && row.Code != code.DeadlineExceeded {
		return
	}
	l.judged += n
	l.took += row.Took.Seconds()
	l.byCode[row.Code] += n
	if row.Refused {
		l.timedOut += n
	}
}
