package policies

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
)

func liveRules(s *Snapshot) []*rule {
	if s == nil {
		return nil
	}
	var live []*rule
	now := time.Now()
	for _, r := range s.rules {
		if !r.off && !r.expired(now) {
			live = append(live, r)
		}
	}
	return live
}

// stateFor is that of one kind for a call.
func stateFor(r *rule, kind config.Kind, of *subject, caller string) string {
	switch {
	case kind == config.KindRateLimit && r.limiter != nil:
		if !r.key.byCaller() {
			return overallState(r, kind)
		}
		key := r.key.appendTo(nil, &Call{Caller: caller, target: of.target})
		return fmt.Sprintf("%d of %d tokens", r.limiter.Level(key), r.limits.Rate.Burst)
	case kind == config.KindCircuitBreaker && r.breaker != nil:
		return breakersFor(r, of)
	case kind == config.KindOutlierDetection && r.outlier != nil:
		return endpointsInShort(r.store.outlierStats(of.upstream))
	case kind == config.KindRetry && r.retry != nil:
		return retriesInShort(r.store.retries(of.upstream))
	}
	return overallState(r, kind)
}

// overallState is the state of one kind for all calls.
func overallState(r *rule, kind config.Kind) string {
	switch {
	case kind == config.KindRateLimit && r.limiter != nil:
		n := r.limiter.Stats()
		if n.Keyed {
			return keysInShort(&n, r.limits.MaxKeys)
		}
		return fmt.Sprintf("%v of %d tokens", n.Tokens, r.limits.Rate.Burst)
	case kind == config.KindConcurrency && r.semaphore != nil:
		inFlight, waiting := r.semaphore.Counts()
		return fmt.Sprintf("%d of %d in flight, %d of %d queued", inFlight, r.maximum, waiting, r.queue)
	case kind == config.KindCircuitBreaker && r.breaker != nil:
		return breakersInShort(r.store.breakersOf(r, nil))
	case kind == config.KindOutlierDetection && r.outlier != nil:
		return endpointsInShort(r.store.outlierStats(""))
	case kind == config.KindRetry && r.retry != nil:
		return retriesInShort(r.store.retries(""))
	}
	return ""
}

// maxListed is how many breakers or endpoints are listed one by one.
const maxListed = 8

// breakersFor is the state of the breakers that calls of a method meet.
func breakersFor(r *rule, of *subject) string {
	breakers := r.store.breakersOf(r, func(upstream string, t Target) bool {
		return upstream == of.upstream && (t == Target{} || t == of.counted)
	})
	switch {
	case len(breakers) == 0:
		return "not called yet"
	case r.scope != config.ScopeEndpoint:
		return breakerText(breakers[0])
	}
	var words []string
	for _, b := range breakers {
		words = append(words, b.Name()+" "+breakerText(b))
	}
	return fewWords(words)
}

// breakersInShort names those that are not closed.
func breakersInShort(breakers []namedBreaker) string {
	var open []string
	for _, b := range breakers {
		if n := b.Stats(); n.State != limit.StateClosed {
			open = append(open, b.Name()+" "+strings.ReplaceAll(n.State, "_", "-"))
		}
	}
	if len(open) == 0 {
		return "closed"
	}
	slices.Sort(open)
	return strings.Join(open, ", ")
}

// endpointsInShort names those that are ejected.
func endpointsInShort(endpoints []OutlierStats) string {
	var words []string
	for i := range endpoints {
		if e := &endpoints[i]; e.Ejected {
			words = append(words, fmt.Sprintf("%s ejected, back in %s: %s", e.Target, roundUp(e.EjectedFor), e.Cause))
		}
	}
	if healthy := len(endpoints) - len(words); healthy > 0 || len(words) == 0 {
		words = append(words, fmt.Sprintf("%d healthy", healthy))
	}
	return fewWords(words)
}

func retriesInShort(calls, retries int) string {
	return fmt.Sprintf("%d of %d calls sent again within %s", retries, calls, config.Duration(limit.BudgetWindow))
}

func fewWords(words []string) string {
	if more := len(words) - maxListed; more > 0 {
		words = append(words[:maxListed], fmt.Sprintf("%d more", more))
	}
	return strings.Join(words, "; ")
}

// breakerText describes the state of a breaker.
func breakerText(b namedBreaker) string {
	switch s := b.Stats(); s.State {
	case limit.StateOpen:
		return fmt.Sprintf("open since %s, tries again in %s: %s", s.Since.UTC().Format(time.RFC3339), roundUp(s.OpenFor), s.Cause)
	case limit.StateHalfOpen:
		return "half-open, opened by: " + s.Cause
	default:
		return fmt.Sprintf("closed, %d of %d calls failed", s.Failures, s.Calls)
	}
}

// keysInShort shows how many keys have a bucket, and how many calls had none of their own.
func keysInShort(n *limit.LimiterStats, maximum int) string {
	text := fmt.Sprintf("%d of %d keys", n.Keys, maximum)
	if n.Overflow > 0 {
		text += fmt.Sprintf(", calls beyond them that shared a bucket: %d", n.Overflow)
	}
	if n.MissingKey > 0 {
		text += fmt.Sprintf(", calls without the key: %d", n.MissingKey)
	}
	return text
}

// namedBreaker is a breaker with its upstream.
type namedBreaker struct {
	*limit.Breaker
	upstream string
}
