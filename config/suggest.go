package config

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxSuggested is the maximum length of a word that is compared.
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
		limit := min(max(1, min(len(word), len(k))/3), fewest-1)
		if d := edits(lower, strings.ToLower(k), limit); d <= limit {
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

// SuggestFor returns the first suggestion for one of words, or "".
func SuggestFor(words, known []string) string {
	for _, word := range words {
		if meant := Suggest(word, known); meant != "" {
			return meant
		}
	}
	return ""
}

// edits returns the number of wrong letters, or any number above limit if there are more. Two swapped neighbours
// count once.
func edits(a, b string, limit int) int {
	if limit < 1 || abs(len(a)-len(b)) > len(b)/3+1 || strange(a, b) > limit {
		return limit + 1
	}
	return alignment([]rune(a), []rune(b), limit)
}

// alignment returns the optimal string alignment distance, or any number above limit if it is larger.
func alignment(a, b []rune, limit int) int {
	var rows [3][2*maxSuggested + 1]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	fewestBefore := 0
	for i := range a {
		row[0] = i + 1
		fewest := row[0]
		for j := range b {
			d := min(last[j], last[j+1]+1, row[j]+1)
			if a[i] != b[j] {
				d = min(last[j], last[j+1], row[j]) + 1
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, before[j-1]+1)
			}
			row[j+1] = d
			fewest = min(fewest, d)
		}
		if fewest > limit && fewestBefore > limit {
			return limit + 1
		}
		fewestBefore = fewest
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// strange returns how many letters of one word the other lacks, wherever they are: a lower bound of the edits.
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

// fold makes rate_limit, rate-limit and RateLimit equal.
func fold(word string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' || r == utf8.RuneError {
			return -1
		}
		return unicode.ToLower(r)
	}, word)
}
