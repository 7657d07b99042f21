package policies

import (
	"iter"
	"net/netip"

	"github.com/easymicro/easymicro/config"
)

// Snapshot is a compiled set of rules. It is not changed once made and may be shared; the state of its rules lives on.
type Snapshot struct {
	revision int
}

// Compile makes the snapshot of rules for a host that serves targets. prev is the one in force, nil at start: what its
// rules have learned is carried over to rules of the same name. prev goes on unchanged until the new snapshot is
// activated, so that one that is not put in force leaves no trace. The rules belong to the snapshot from then on.
func Compile(rules []config.Rule, targets []Target, prev *Snapshot, o Options) (*Snapshot, error) {
	return &Snapshot{revision: o.Revision}, nil
}

// Activate puts the new limits of the snapshot into force. Call it right after the swap; otherwise the first call that
// enters one of its guards does it.
func (s *Snapshot) Activate() {}

// Guard is that of one method. It is never nil, but for a nil Snapshot.
func (s *Snapshot) Guard(t Target) *Guard { return nil }

// Revision is the one it was compiled for.
func (s *Snapshot) Revision() int { return s.revision }

// Rules are all rules, in the order of the set, each with its state.
func (s *Snapshot) Rules() []RuleState { return nil }

// Unmatched are warnings about rules that match no target, with what was probably meant.
func (s *Snapshot) Unmatched() config.Problems { return nil }

// Explain says which rules decide about a call, in the order asked, and which do not and why.
func (s *Snapshot) Explain(t Target, caller string, peer netip.Addr) Explanation {
	return Explanation{}
}

// State is the live state of one kind of a rule, for people: "0 of 1000 tokens", "open since …".
func (s *Snapshot) State(rule string, kind config.Kind, t Target, caller string) string { return "" }

// Decisions yields how often each rule decided what: allow, reject, wait or shadow_reject. The counters survive edits.
func (s *Snapshot) Decisions(yield func(rule string, kind config.Kind, method, decision string, n uint64)) {
}

// Limiters are the rate limiters of all rules that are not off.
func (s *Snapshot) Limiters() iter.Seq[LimiterStats] { return func(func(LimiterStats) bool) {} }

// Breakers are the circuit breakers of all rules that are not off.
func (s *Snapshot) Breakers() iter.Seq[BreakerStats] { return func(func(BreakerStats) bool) {} }
