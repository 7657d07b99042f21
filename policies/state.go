package policies

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
)

// lateBreakers are those of what Compile does not know. Those that are left from when it did not are not among them.
func lateBreakers(r *rule) []*breaker {
	late := r.late.breakersOf(nil)
	if len(late) == 0 {
		return nil
	}
	known := make(map[string]bool, len(r.targets))
	for _, t := range r.targets {
		known[t.String()] = true
	}
	return slices.DeleteFunc(late, func(b *breaker) bool { return b.upstream == "" && known[b.target] })
}

// matchedTargets is the number of methods that the rule matches, as far as they are known.
func matchedTargets(r *rule) int {
	known := make(map[Target]bool, len(r.targets))
	for _, t := range r.targets {
		known[t] = true
	}
	for _, t := range r.late.seen() {
		known[t] = true
	}
	return len(known)
}

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

// decidedBy are the decisions by method.
func decidedBy(r *rule, kind config.Kind) iter.Seq2[Target, Decisions] {
	return func(yield func(Target, Decisions) bool) {
		for _, t := range r.targets {
			if !yield(t, r.counts[countsKey{kind, t}].decisions()) {
				return
			}
		}
		for _, t := range r.late.seen() {
			if r.counts[countsKey{kind, t}] == nil && !yield(t, r.late.decisions(kind, t)) {
				return
			}
		}
	}
}

// decisionsOf are those about one method.
func decisionsOf(r *rule, kind config.Kind, of *subject) Decisions {
	if of.late {
		return r.late.decisions(kind, of.counted)
	}
	return r.counts[countsKey{kind, of.target}].decisions()
}

// stateFor is that of one kind for a call.
func stateFor(r *rule, kind config.Kind, of *subject, caller string) string {
	switch {
	case kind == config.KindRateLimit && r.limiter != nil:
		if !r.key.byCaller() {
			return overallState(r, kind)
		}
		key := r.key.appendTo(nil, &Call{Caller: caller, target: of.target})
		return fmt.Sprintf("%d of %d tokens", r.limiter.level(key), r.limits.rate.burst)
	case kind == config.KindCircuitBreaker && of.late:
		return breakersFor(r, of)
	case kind == config.KindCircuitBreaker && r.breakers[of.target] != nil:
		return r.breakers[of.target].state()
	case kind == config.KindOutlierDetection && r.outlier != nil:
		return endpointsInShort(r.late.outlierStats(of.upstream))
	case kind == config.KindRetry && r.retry != nil:
		return retriesInShort(r.late.retries(of.upstream))
	}
	return overallState(r, kind)
}

// overallState is the state of one kind for all calls.
func overallState(r *rule, kind config.Kind) string {
	switch {
	case kind == config.KindRateLimit && r.limiter != nil:
		n := r.limiter.stats()
		if n.Keyed {
			return n.keysInShort(r.limits.maxKeys)
		}
		return fmt.Sprintf("%v of %d tokens", n.Tokens, r.limits.rate.burst)
	case kind == config.KindConcurrency && r.places != nil:
		inFlight, waiting := r.places.counts()
		return fmt.Sprintf("%d of %d in flight, %d of %d queued", inFlight, r.maximum, waiting, r.queue)
	case kind == config.KindCircuitBreaker && r.breakerRule != nil:
		return breakersInShort(slices.AppendSeq(lateBreakers(r), maps.Values(r.breakers)))
	case kind == config.KindOutlierDetection && r.outlier != nil:
		return endpointsInShort(r.late.outlierStats(""))
	case kind == config.KindRetry && r.retry != nil:
		return retriesInShort(r.late.retries(""))
	}
	return ""
}

// mostInWords is how many breakers or endpoints are told one by one.
const mostInWords = 8

// breakersFor is the state of the breakers that calls of a method meet.
func breakersFor(r *rule, of *subject) string {
	breakers := r.late.breakersOf(func(upstream, target string) bool {
		return upstream == of.upstream && (target == "" || target == of.counted.String())
	})
	switch {
	case len(breakers) == 0:
		return "not called yet"
	case r.scope != config.ScopeEndpoint:
		return breakers[0].state()
	}
	var words []string
	for _, b := range breakers {
		words = append(words, b.target+" "+b.state())
	}
	return fewWords(words)
}

// breakersInShort names those that are not closed.
func breakersInShort(breakers []*breaker) string {
	var open []string
	for _, b := range breakers {
		if n := b.stats(); n.State != phaseNames[phaseClosed] {
			open = append(open, n.Target+" "+strings.ReplaceAll(n.State, "_", "-"))
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
	return fmt.Sprintf("%d of %d calls sent again within %s", retries, calls, config.Duration(budgetWindow))
}

func fewWords(words []string) string {
	if more := len(words) - mostInWords; more > 0 {
		words = append(words[:mostInWords], fmt.Sprintf("%d more", more))
	}
	return strings.Join(words, "; ")
}
