package traffic

import (
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Sum counts calls.
type Sum struct {
	ByCode  [codes]uint64
	Refused uint64 // by a rule of this host, or ended by one, or turned away by the host
	Failed  uint64 // with UNAVAILABLE, INTERNAL or DEADLINE_EXCEEDED, and not refused
	Stopped uint64 // refused with one of these, as by timeouts and breakers
}

// Calls returns the number of calls.
func (s *Sum) Calls() uint64 {
	var all uint64
	for _, n := range s.ByCode {
		all += n
	}
	return all
}

// Judged returns the number of calls that were not refused: those that could fail.
func (s *Sum) Judged() uint64 { return s.Calls() - s.Refused }

// Codes returns the number of calls by status code, without zeros.
func (s *Sum) Codes() map[code.Code]uint64 {
	by := make(map[code.Code]uint64)
	for c, n := range s.ByCode {
		if n > 0 {
			by[code.Code(c)] = n
		}
	}
	return by
}

// failure reports whether a call that was not refused has failed.
func failure(c code.Code) bool {
	return c == code.Unavailable || c == code.Internal || c == code.DeadlineExceeded
}

// add adds n calls of a series.
func (s *Sum) add(which int, n uint64) {
	c := code.Code(which % codes)
	s.ByCode[c] += n
	switch {
	case which >= codes:
		s.Refused += n
		if failure(c) {
			s.Stopped += n
		}
	case failure(c):
		s.Failed += n
	}
}

const (
	kept      = int(Window / time.Second)
	perSpan   = 10 // seconds that share one distribution of durations
	keptSpans = 60/perSpan + 1
)

// history keeps what was counted in the seconds that have ended.
type history struct {
	seconds [kept]uint32 // the second of each slot, plus one; 0: none
	calls   [series]*[kept]uint32
	all     [series]uint64 // since the beginning

	spans     [keptSpans]uint32 // like seconds
	durations [keptSpans][buckets]uint32

	before counts // the part of the live counts that is kept already
}

// keep keeps the live counts as those of a second that has ended.
func (h *history) keep(live *counts, ended, next uint32) {
	slot := ended % uint32(kept)
	h.seconds[slot] = ended + 1
	for i := range series {
		n := live[i] - h.before[i]
		if h.calls[i] == nil {
			if n == 0 {
				continue
			}
			h.calls[i] = new([kept]uint32)
		}
		h.calls[i][slot] = n
		h.all[i] += uint64(n)
		h.before[i] = live[i]
	}
	if ended/perSpan != next/perSpan {
		h.keepDurations(live, ended/perSpan)
	}
}

func (h *history) keepDurations(live *counts, ended uint32) {
	slot := ended % uint32(keptSpans)
	h.spans[slot] = ended + 1
	for i := range buckets {
		h.durations[slot][i] = live[series+i] - h.before[series+i]
		h.before[series+i] = live[series+i]
	}
}

// totals returns all calls since the beginning.
func (h *history) totals(live *counts) Sum {
	var s Sum
	for i, n := range h.all {
		s.add(i, n+uint64(live[i]-h.before[i]))
	}
	return s
}

// between returns the calls of some seconds; the live counts are those of the current one.
func (h *history) between(live *counts, current, from, to uint32) Sum {
	var s Sum
	for i := range series {
		if from <= current && current < to {
			s.add(i, uint64(live[i]-h.before[i]))
		}
		if h.calls[i] == nil {
			continue
		}
		for slot, n := range h.calls[i] {
			if second := h.seconds[slot]; from < second && second <= to {
				s.add(i, uint64(n))
			}
		}
	}
	return s
}

// latency returns the durations of the last minute before now.
func (h *history) latency(live *counts, current, now uint32) Latency {
	var l Latency
	first := max(now/perSpan, keptSpans-1) - (keptSpans - 1)
	if current/perSpan >= first {
		for i := range buckets {
			l.n[i] += uint64(live[series+i] - h.before[series+i])
		}
	}
	for slot, span := range h.spans {
		if span <= first {
			continue
		}
		for i, n := range h.durations[slot] {
			l.n[i] += uint64(n)
		}
	}
	return l
}
