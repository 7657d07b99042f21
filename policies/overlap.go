package policies

import (
	"cmp"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// key is the same for all forms that can tie: equally narrow in every field, with the same exact names.
func (t *tieRule) key() string {
	var key []byte
	for _, g := range t.fields() {
		switch {
		case g == nil:
			key = append(key, '-')
		case g.exact:
			key = append(append(key, '='), g.text...)
		default:
			key = strconv.AppendInt(append(key, '*'), int64(g.literal), 10)
		}
		key = append(key, 0)
	}
	return string(append(key, t.peer.String()...))
}

func (t *tieRule) fields() [4]*glob { return [...]*glob{t.method, t.service, t.caller, t.upstream} }

// overlapping yields the pairs of a group that a common call can match; the forms of a group have one key.
func overlapping(group []tieRule) iter.Seq2[*tieRule, *tieRule] {
	return func(yield func(a, b *tieRule) bool) {
		for a, b := range suspects(group) {
			if a.overlaps(b) && !yield(a, b) {
				return
			}
		}
	}
}

// suspects yields the pairs of a group that have to be compared. Those are not all: a set may have thousands of rules
// with globs of one length.
func suspects(group []tieRule) iter.Seq2[*tieRule, *tieRule] {
	return func(yield func(a, b *tieRule) bool) {
		end := mostTelling(group)
		ordered := make([]ended, len(group))
		for i := range group {
			ordered[i] = ended{end: end(&group[i]), tieRule: &group[i]}
		}
		slices.SortStableFunc(ordered, func(a, b ended) int { return cmp.Compare(a.end, b.end) })
		// In this order, what begins like one text stands right behind it: open are the ones that the current one
		// begins like.
		var open []ended
		for _, o := range ordered {
			for len(open) > 0 && !strings.HasPrefix(o.end, open[len(open)-1].end) {
				open = open[:len(open)-1]
			}
			for _, earlier := range open {
				if !yield(earlier.tieRule, o.tieRule) {
					return
				}
			}
			open = append(open, o)
		}
	}
}

// ended is a form with one of its fixed ends, as a text to begin with.
type ended struct {
	end string
	*tieRule
}

// mostTelling is the end, of one of the globs, that tells most forms of the group apart. Of two globs that overlap, one
// begins as the other begins, and likewise ends.
func mostTelling(group []tieRule) func(*tieRule) string {
	best, most := func(*tieRule) string { return "" }, 1
	for i, g := range group[0].fields() {
		if g == nil || g.exact {
			continue
		}
		for _, end := range []func(*tieRule) string{
			func(t *tieRule) string { return t.fields()[i].prefix },
			func(t *tieRule) string { return reversed(t.fields()[i].suffix) },
		} {
			different := make(map[string]bool)
			for j := range group {
				different[end(&group[j])] = true
			}
			if len(different) > most {
				best, most = end, len(different)
			}
		}
	}
	return best
}

func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// overlaps tells whether a call can match both; the keys are equal.
func (t *tieRule) overlaps(o *tieRule) bool {
	others := o.fields()
	for i, g := range t.fields() {
		if g != nil && !g.overlap(others[i]) {
			return false
		}
	}
	return true
}
