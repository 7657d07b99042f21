package state

import (
	"slices"
	"time"

	"github.com/easymicro/easymicro/host/admin"
)

// Good is a revision whose set proved good.
type Good struct {
	admin.Attempt
	GoodAt time.Time `json:"good_at"` // since when
	seq    int
}

// generationAges are the ages of the generations besides the newest: a set may prove bad only after hours.
var generationAges = [...]time.Duration{time.Hour, 24 * time.Hour}

// generations returns which of the good sets are kept, of a list with the newest first: the newest, and for each age the
// latest one that is older, with the one that will follow it.
func generations(list []Good, now time.Time) []Good {
	keep := make(map[int]bool)
	for _, age := range generationAges {
		older := slices.IndexFunc(list, func(g Good) bool { return now.Sub(g.GoodAt) >= age })
		if older < 0 {
			older = len(list)
		}
		keep[older], keep[older-1] = true, true
	}
	keep[0] = true
	var kept []Good
	for i := range list {
		if keep[i] {
			kept = append(kept, list[i])
		}
	}
	return kept
}
