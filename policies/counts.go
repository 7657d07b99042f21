package policies

import (
	"sync/atomic"

	"github.com/easymicro/easymicro/config"
)

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
