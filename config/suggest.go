package config

import (
	"strings"

	"github.com/agext/levenshtein"
)

// Suggest is the known word that was probably meant, or "".
func Suggest(word string, known []string) string {
	if word == "" || len(word) > 64 {
		return ""
	}
	lower := strings.ToLower(word)
	best, fewest := "", 1<<30
	for _, k := range known {
		if k == "" || k == word {
			continue
		}
		if d := edits(lower, strings.ToLower(k)); d < fewest && d <= max(1, min(len(word), len(k))/3) {
			best, fewest = k, d
		}
	}
	if best != "" || len(word) < 3 {
		return best
	}
	for _, k := range known {
		if k == word {
			continue
		}
		if strings.HasPrefix(strings.ToLower(k), lower) || (len(k) >= 4 && strings.HasPrefix(lower, strings.ToLower(k))) {
			return k
		}
	}
	return ""
}

// edits is the number of letters that are wrong; two neighbours in the wrong order are one.
func edits(a, b string) int {
	if abs(len(a)-len(b)) > len(b)/3+1 {
		return len(a) + len(b)
	}
	fewest := levenshtein.Distance(a, b, nil)
	swapped := []byte(a)
	for i := 0; i+1 < len(swapped) && fewest > 1; i++ {
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
		fewest = min(fewest, 1+levenshtein.Distance(string(swapped), b, nil))
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
	}
	return fewest
}

func abs(n int) int { return max(n, -n) }
