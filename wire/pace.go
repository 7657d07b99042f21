package wire

import (
	"slices"
	"time"
)

const (
	paceTimed   = 8                    // one call in so many is timed
	paceWindow  = 8                    // timed calls, the shortest of which counts
	shareAbove  = 8 * time.Microsecond // calls that take longer are shared among workers when there are several
	shareBusy   = 2 * shareAbove       // the same while no processor is free, when passing a call on gains less
	maxBlocks   = 2                    // calls of a blockWindow that block the reader, before workers run the next
	blockWindow = 1 << 10
	minAvoid    = 1 << 8 // calls that workers run then; doubled each time, and halved in each window
	maxAvoid    = 1 << 15
	pacesKept   = 8 // methods of a connection
)

// pace is what a reader has learned about the calls of a method: whether they block, and how long they take.
type pace struct {
	service, method string

	calls  uint32
	took   time.Duration // the shortest of the last window; 0: not known
	least  time.Duration // of this window
	timed  int
	blocks int    // in this window of calls
	avoid  uint32 // calls left that workers run
	next   uint32 // avoid when it blocks again
}

// begin counts a call that the reader runs. It returns the time if the call is to be timed.
func (p *pace) begin() time.Time {
	p.calls++
	if p.calls%blockWindow == 0 {
		p.blocks, p.next = 0, max(p.next/2, minAvoid)
	}
	if p.took > 0 && p.calls%paceTimed != 0 {
		return time.Time{}
	}
	return time.Now()
}

func (p *pace) end(begin time.Time) {
	if begin.IsZero() {
		return
	}
	took := time.Since(begin)
	if p.timed == 0 || took < p.least {
		p.least = took
	}
	p.timed++
	if p.timed == paceWindow || p.took == 0 {
		p.took, p.timed = p.least, 0
	}
}

// lasted notes a call that has blocked its reader.
func (p *pace) lasted() {
	p.blocks++
	if p.blocks >= maxBlocks {
		p.blocks, p.avoid, p.next = 0, p.next, min(2*p.next, maxAvoid)
	}
}

// paces are the paces of the methods called over a connection.
type paces struct {
	kept    []*pace
	next    int   // to be replaced
	last    *pace // of the last call; nil: none
	current *pace // of the call that the reader runs; nil: none
}

// inline reports whether the reader is to run req itself. others is set if other calls wait for the reader meanwhile, crowded if
// another worker would have to wait for a processor.
func (s *paces) inline(req *Frame, others, crowded bool) bool {
	p := s.of(req.Service, req.Method)
	s.last = p
	if p.avoid > 0 {
		p.avoid--
		return false
	}
	return !others || p.took < shareAbove || crowded && p.took < shareBusy
}

func (s *paces) of(service, method string) *pace {
	is := func(p *pace) bool { return p.method == method && p.service == service }
	if s.last != nil && is(s.last) {
		return s.last
	}
	if i := slices.IndexFunc(s.kept, is); i >= 0 {
		return s.kept[i]
	}
	p := &pace{service: service, method: method, next: minAvoid}
	if len(s.kept) < pacesKept {
		s.kept = append(s.kept, p)
	} else {
		s.kept[s.next] = p
		s.next = (s.next + 1) % pacesKept
	}
	return p
}

// begin is called before the reader runs a call, and end with its result when the reader has kept the reading.
func (s *paces) begin() time.Time {
	s.current = s.last
	return s.current.begin()
}

func (s *paces) end(begin time.Time) {
	s.current.end(begin)
	s.current = nil
}

// takenOver is called by a new reader. It reports whether a call has blocked the one before.
func (s *paces) takenOver() bool {
	if s.current == nil {
		return false
	}
	s.current.lasted()
	s.current = nil
	return true
}
