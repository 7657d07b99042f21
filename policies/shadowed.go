package policies

import (
	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

// ShadowRefusal is what a rule would have done to a call that it let pass, since it is in shadow, or enforced for others
// only (enforceShare).
type ShadowRefusal struct {
	Rule   string // name@rN
	Kind   config.Kind
	Code   code.Code
	Reason string
}

// Shadowed returns by which rules the call would have been refused, once Enter has returned.
func (c *Call) Shadowed() []ShadowRefusal { return c.shadowed }

// Shadowed returns by which timeouts the call would have been ended, once Done has returned.
func (t *Ticket) Shadowed() []ShadowRefusal { return t.shadowed }

// refused counts a decision of an entry against a call, and reports whether it is carried out.
func (e *entry) refused(c *Call, carriedOut bool, kind config.Kind, refusal code.Code, reason string) bool {
	if e.counts.refused(carriedOut) {
		return true
	}
	c.shadowed = append(c.shadowed, e.shadow(kind, refusal, reason))
	return false
}

func (e *entry) shadow(kind config.Kind, refusal code.Code, reason string) ShadowRefusal {
	return ShadowRefusal{Rule: e.rule.label, Kind: kind, Code: refusal, Reason: reason}
}
