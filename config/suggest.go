package config

import (
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"
)

// maxSuggested is the length of the longest word that others are compared with.
const maxSuggested = 64

// Suggest returns the known word that was probably meant, or "".
func Suggest(word string, known []string) string {
	if word == "" || len(word) > maxSuggested {
		return ""
	}
	lower := strings.ToLower(word)
	best, fewest := "", 1<<30
	for _, k := range known {
		if k == "" || k == word || len(k) > 2*maxSuggested {
			continue
		}
		most := min(max(1, min(len(word), len(k))/3), fewest-1)
		if d := edits(lower, strings.ToLower(k), most); d <= most {
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

// edits returns the number of letters that are wrong, or any number above most when it is above most; two neighbours in
// the wrong order are one.
func edits(a, b string, most int) int {
	if most < 1 || abs(len(a)-len(b)) > len(b)/3+1 || strange(a, b) > most {
		return most + 1
	}
	fewest := levenshtein.Distance(a, b, nil)
	if fewest > most+1 { // one swap mends two letters, and is one itself
		return fewest
	}
	swapped := []byte(a)
	for i := 0; i+1 < len(swapped) && fewest > 1; i++ {
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
		fewest = min(fewest, 1+levenshtein.Distance(string(swapped), b, nil))
		swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
	}
	return fewest
}

// strange returns how many letters of one word the other one lacks, wherever they stand. There are at least as many edits.
func strange(a, b string) int {
	var count [utf8.RuneSelf]int8
	for i := range len(a) {
		if a[i] >= utf8.RuneSelf {
			return 0
		}
		count[a[i]]++
	}
	lacking := 0
	for i := range len(b) {
		if b[i] >= utf8.RuneSelf {
			return 0
		}
		count[b[i]]--
		if count[b[i]] < 0 {
			lacking++
		}
	}
	return max(lacking, lacking+len(a)-len(b))
}

func abs(n int) int { return max(n, -n) }
