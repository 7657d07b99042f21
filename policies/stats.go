package policies

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
)

// LimiterStats is the state of a rule's rate limiter.
type LimiterStats struct {
	Mode       config.Mode `json:"mode"` // enforce or shadow
	Rule       string      `json:"rule"`
	Keyed      bool        `json:"keyed"`
	Tokens     float64     `json:"tokens"` // not keyed: left in the bucket; negative while calls wait
	Burst      int64       `json:"burst"`
	Keys       int         `json:"keys"`        // keyed: buckets kept
	Overflow   uint64      `json:"overflow"`    // keyed: calls that shared a bucket because all keys were in use
	MissingKey uint64      `json:"missing_key"` // keyed: calls without the metadata of the key
}

// The states of a rate limiter that Transition tells of.
const (
	LimiterKeyed    = "keyed"    // each key has a bucket of its own
	LimiterOverflow = "overflow" // new keys share one
)

// BreakerStats is the state of one circuit breaker.
type BreakerStats struct {
	Mode        config.Mode       `json:"mode"` // enforce or shadow
	Rule        string            `json:"rule"`
	Target      string            `json:"target"`             // Service/Method, the address of an endpoint, or the upstream
	Upstream    string            `json:"upstream,omitempty"` // of client-side rules
	State       string            `json:"state"`              // closed, half_open or open
	Since       time.Time         `json:"since"`
	OpenFor     time.Duration     `json:"-"`               // how long it stays open
	Cause       string            `json:"cause,omitempty"` // of the last opening
	Transitions map[string]uint64 `json:"transitions"`     // by the state it came to
}

// OutlierStats is the state of one endpoint under outlier detection.
type OutlierStats struct {
	Rule       string        `json:"rule"`
	Target     string        `json:"target"` // the address, with the upstream before it if the rule is about several
	Upstream   string        `json:"upstream"`
	Address    string        `json:"address"`
	Enforced   bool          `json:"enforced"` // or in shadow
	Ejected    bool          `json:"ejected"`
	Since      time.Time     `json:"since"`
	EjectedFor time.Duration `json:"-"`               // how long it stays ejected
	Cause      string        `json:"cause,omitempty"` // of the last ejection
	Ejections  uint64        `json:"ejections"`
}

// counts are the decisions of one kind of a rule for one method.
type counts struct {
	allow, reject, wait, shadow atomic.Uint64
}

type countsKey struct {
	kind   config.Kind
	target Target
}

func (n *counts) decisions() Decisions {
	return Decisions{
		Allow: n.allow.Load(), Reject: n.reject.Load(), Wait: n.wait.Load(), ShadowReject: n.shadow.Load(),
	}
}

// refused counts a decision against a call, and tells whether it is carried out.
func (n *counts) refused(carriedOut bool) bool {
	if carriedOut {
		n.reject.Add(1)
	} else {
		n.shadow.Add(1)
	}
	return carriedOut
}

// keysInShort says how many keys have a bucket, and which calls had none of their own.
func (n *LimiterStats) keysInShort(most int) string {
	text := fmt.Sprintf("%d of %d keys", n.Keys, most)
	if n.Overflow > 0 {
		text += fmt.Sprintf(", calls beyond them that shared a bucket: %d", n.Overflow)
	}
	if n.MissingKey > 0 {
		text += fmt.Sprintf(", calls without the key: %d", n.MissingKey)
	}
	return text
}
