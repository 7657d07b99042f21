package policies

import (
	"fmt"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
)

// mostInWords is how many breakers or endpoints are told one by one.
const mostInWords = 8

// breakersFor is the state of the breakers that calls of a method meet.
func (r *rule) breakersFor(of *subject) string {
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
