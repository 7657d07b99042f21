package client

import (
	"fmt"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// noEndpoint is the error of an attempt for which no endpoint is left.
func (s *slot) noEndpoint() error {
	if s.err != nil && code.From(s.err).Reason == code.ReasonDraining {
		return s.err
	}
	name := s.call.req.Service
	if s.refused >= len(s.list.members) {
		return failed(code.Unavailable, code.ReasonNoEndpoint, "no endpoint of %s may be used: the rules leave out all %d", name, len(s.list.members)).
			InPublic("no endpoint of " + name + " may be used")
	}
	var why error
	var soonest time.Duration
	for _, m := range s.list.members {
		in, err := m.node.absence()
		if err != nil && (why == nil || in < soonest) {
			why, soonest = of(m, err), in
		}
	}
	var e *code.Error
	switch {
	case why != nil && soonest > 0:
		e = unreached("no endpoint of %s can be reached (of %d): %w; next attempt in %s",
			name, len(s.list.members), why, soonest.Round(time.Millisecond))
		e.RetryAfter = soonest
	case why != nil:
		e = unreached("no endpoint of %s can be reached (of %d): %w", name, len(s.list.members), why)
	case s.err != nil:
		e = unreached("no endpoint of %s can be reached: %w", name, s.err)
	default:
		e = unreached("no endpoint of %s can be reached (of %d)", name, len(s.list.members))
	}
	return e.InPublic("no endpoint of " + name + " can be reached")
}

// absence is why there is no connection, and in how long the next attempt to make one is due.
func (n *node) absence() (in time.Duration, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return max(time.Until(n.soonest), 0), n.err
}

// of says of which endpoint err is, unless it says so itself, as those of package net do.
func of(m *member, err error) error {
	if strings.Contains(err.Error(), m.ep.Address) {
		return err
	}
	return fmt.Errorf("%s: %w", m.ep.Address, err)
}
