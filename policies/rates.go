package policies

import (
	"reflect"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// looserRate reports whether the rate limit of a never refuses a call that the one of b allows. Tokens that calls take from a
// bucket of a they take from buckets of b, too: it is not empty before they are if it is as large as they are together.
func looserRate(a, b *config.Rule) bool {
	s, w := *a.RateLimit, *b.RateLimit
	if w.OnExceed == config.OnExceedWait {
		return false // calls that wait may owe more than a burst
	}
	n, ok := bucketsFor(a, &s, &w)
	if !ok || ratePerSecond(&s) < n*ratePerSecond(&w) || float64(s.Burst) < n*float64(w.Burst) {
		return false
	}
	for _, l := range []*config.RateLimit{&s, &w} { // all others must be equal
		l.Rate, l.Per, l.Burst, l.Key, l.MaxKeys, l.OnExceed, l.MaxWait = 0, 0, 0, nil, 0, "", 0
	}
	return reflect.DeepEqual(s, w)
}

// isAbove reports whether the rate of a is above that of the buckets of b that its calls take from. Rates for different periods
// are not compared: two of them bound bursts and sums.
func isAbove(a, b *config.Rule) bool {
	n, ok := bucketsFor(a, a.RateLimit, b.RateLimit)
	return ok && a.RateLimit.Per == b.RateLimit.Per && float64(a.RateLimit.Rate) > n*float64(b.RateLimit.Rate)
}

func ratePerSecond(l *config.RateLimit) float64 { return float64(l.Rate) / l.Per.Std().Seconds() }

// bucketsFor returns how many buckets of w the calls of one bucket of s, a limit of a, may take from.
func bucketsFor(a *config.Rule, s, w *config.RateLimit) (n float64, ok bool) {
	ours, theirs := slices.Sorted(slices.Values(s.Key)), slices.Sorted(slices.Values(w.Key))
	switch {
	case len(theirs) == 0:
		return 1, s.OnMissingKey != config.OnMissingKeyRefuse // calls without the key
	case slices.Equal(ours, theirs):
		return 1, s.MaxKeys >= w.MaxKeys
	case len(ours) > 0:
		return 0, false
	}
	n = 1
	for _, part := range theirs {
		exact := config.Patterns(nil)
		claim, isClaim := strings.CutPrefix(part, config.KeyIdentity)
		switch {
		case isClaim:
			exact = a.Match.Identity[claim]
		case part == "caller":
			exact = a.Match.Caller
		case part == "method" && len(a.Match.Service) == 1 && wildcard.IsExact(a.Match.Service[0]):
			exact = a.Match.Method
		}
		if len(exact) == 0 || slices.ContainsFunc(exact, func(p string) bool { return !wildcard.IsExact(p) }) {
			return 0, false
		}
		n *= float64(len(exact))
	}
	return n, true
}
