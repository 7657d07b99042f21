package policies

import (
	"math"

	"github.com/cespare/xxhash/v2"
)

// carriesOut tells whether a refusal of the rule is carried out for a call: always or never by its mode, and by the
// caller (the peer of anonymous ones) when only a share of them is refused. The rule's name is hashed too, so that it
// is not the same callers that bear the trial of every rule.
func (r *rule) carriesOut(c *Call) bool {
	if r.share >= 1 || !r.enforced {
		return r.enforced
	}
	return shareOf(r.name, c) < r.share
}

// shareOf puts a call at a place from 0 to 1.
func shareOf(rule string, c *Call) float64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(rule)
	_, _ = d.WriteString("\x00")
	if c.Caller != Anonymous || !c.Peer.IsValid() {
		_, _ = d.WriteString(c.Caller)
	} else {
		addr := c.Peer.As16()
		_, _ = d.Write(addr[:])
	}
	return float64(d.Sum64()>>11) / (math.MaxUint64 >> 11)
}
