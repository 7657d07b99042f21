package policies

import (
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/code"
)

// tokenClaim is one rate limit that the call is under.
type tokenClaim struct {
	entry    *entry
	key      int // where its key ends, behind that of the claim before
	bucket   *limit.Bucket
	wait     time.Duration // until there is a token
	enforced bool          // or in shadow
	keyless  bool          // refused for lack of the metadata of the key
	locked   bool
	granted  bool // the limit allows the call
	taken    bool
}

// decide evaluates the limit, which is locked.
func (l *tokenClaim) decide(key []byte, k *clock, now time.Time) {
	r := l.entry.rule
	if len(key) == 0 && r.refuseKeyless {
		l.keyless = true
		r.limiter.Miss()
		return
	}
	l.bucket = r.limiter.Bucket(key, now)
	l.wait = l.bucket.Wait(now)
	maxWait := time.Duration(0)
	if l.enforced && l.wait > 0 && r.maxWait > 0 {
		maxWait = min(r.maxWait, k.deadline.Left())
	}
	l.granted = l.wait <= maxWait
}

// before reports whether l is the better reason for a refusal: a missing key, then the longest wait, since an earlier retry
// is refused again, then the narrowest rule.
func (l *tokenClaim) before(o *tokenClaim) bool {
	switch {
	case o.entry == nil:
		return true
	case l.keyless != o.keyless:
		return l.keyless
	case l.wait != o.wait:
		return l.wait > o.wait
	}
	return compareRanks(l.entry.rank, o.entry.rank) < 0
}

// charge takes the token if the limit allows the call, and counts the decision.
func (l *tokenClaim) charge(c *Call) {
	n := l.entry.counts
	switch {
	case !l.granted && l.keyless:
		l.entry.countRefusal(c, false, config.KindRateLimit, code.InvalidArgument, code.ReasonMissingKey)
		return
	case !l.granted:
		l.entry.countRefusal(c, false, config.KindRateLimit, code.ResourceExhausted, code.ReasonRateLimited)
		return
	}
	l.bucket.Take()
	l.taken = true
	if l.wait > 0 {
		n.Wait.Add(1)
	} else {
		n.Allow.Add(1)
	}
}

// refuse returns the error of a rate limit.
func (l *tokenClaim) refuse(c *Call) error {
	if l.keyless {
		return l.entry.rule.Refuse(code.InvalidArgument, code.ReasonMissingKey, l.entry.rule.key.missing(c)+" is required", 0)
	}
	return l.entry.rule.Refuse(code.ResourceExhausted, code.ReasonRateLimited, "rate limited", l.wait)
}
