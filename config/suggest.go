package config

import (
	"strings"

	"github.com/agext/levenshtein"
)

// Suggest is the known word that was probably meant, or "".
func Suggest(word string, known []string) string {
	if len(word) > 64 {
		return ""
	}
	best, score := "", 0.0
	for _, k := range known {
		if strings.EqualFold(k, word) {
			return k
		}
		if s := levenshtein.Match(strings.ToLower(word), strings.ToLower(k), nil); s > score {
			best, score = k, s
		}
	}
	if score < 0.6 {
		return ""
	}
	return best
}
