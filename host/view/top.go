package view

import (
	"cmp"
	"slices"
	"time"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/traffic"
)

// Top returns the calls of the last minutes, summed up as q asks.
func Top(s *traffic.Sketch, q admin.TopQuery, now time.Time) *admin.Top {
	t := topSums{by: q.By, rows: make(map[admin.TopRow]*topSum)}
	if len(t.by) == 0 {
		t.by = []string{admin.ByCaller, admin.ByMethod}
	}
	list, recent := s.Flows(now)
	only := q.Service + "/" + q.Method
	for i := range list {
		if f := &list[i]; q.Method == "" || f.Method == only {
			t.add(f)
		}
	}
	return t.top(recent, q.Rows)
}

// topSums sums up flows.
type topSums struct {
	by            []string
	rows          map[admin.TopRow]*topSum // by a row that has its fields alone
	calls, recent uint64
}

type topSum struct {
	admin.TopRow
	recent, timed uint64
	took          time.Duration
}

func (t *topSums) add(f *traffic.Counted) {
	key := t.key(f)
	row := t.rows[key]
	if row == nil {
		row = &topSum{TopRow: key}
		t.rows[key] = row
	}
	t.calls, t.recent = t.calls+f.Calls, t.recent+f.Recent
	row.Calls, row.recent = row.Calls+f.Calls, row.recent+f.Recent
	if f.Failed() {
		row.Failed += f.Calls
	}
	if f.Refused {
		row.Refused += f.Calls
	} else {
		row.timed, row.took = row.timed+f.Calls, row.took+f.Took
	}
}

// key returns the row of a flow without its numbers.
func (t *topSums) key(f *traffic.Counted) admin.TopRow {
	var key admin.TopRow
	for _, field := range t.by {
		switch field {
		case admin.ByCaller:
			key.Caller, key.Others = f.Caller, key.Others || f.Others >= traffic.OtherCallers
		case admin.ByMethod:
			key.Method, key.Others = f.Method, key.Others || f.Others >= traffic.OtherMethods
		case admin.ByPeer:
			if f.Peer.IsValid() {
				key.Peer = f.Peer.String()
			}
			key.Others = key.Others || f.Others >= traffic.OtherPeers
		}
	}
	return key
}

// top returns the rows with most calls.
func (t *topSums) top(recent time.Duration, most int) *admin.Top {
	v := &admin.Top{
		By: t.by, WindowSeconds: admin.Seconds(traffic.Window), Calls: t.calls, CallsPerSecond: float64(t.recent) / recent.Seconds(),
		Rows: make([]admin.TopRow, 0, len(t.rows)),
	}
	for _, row := range t.rows {
		row.CallsPerSecond = float64(row.recent) / recent.Seconds()
		row.Share = float64(row.Calls) / float64(t.calls)
		if t.recent > 0 {
			row.Share = float64(row.recent) / float64(t.recent)
		}
		if row.timed > 0 {
			row.Mean = admin.Seconds(row.took / time.Duration(row.timed))
		}
		v.Rows = append(v.Rows, row.TopRow)
	}
	slices.SortFunc(v.Rows, func(a, b admin.TopRow) int {
		return cmp.Or(
			cmp.Compare(b.CallsPerSecond, a.CallsPerSecond), cmp.Compare(b.Calls, a.Calls),
			cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Peer, b.Peer),
		)
	})
	if len(v.Rows) > most {
		v.Rows, v.More = v.Rows[:most], len(v.Rows)-most
	}
	return v
}
