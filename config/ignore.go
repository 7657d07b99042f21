package config

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config/lint"
)

// ignore is a comment that takes warnings of a line out.
type ignore struct {
	at     Position // of the comment
	line   int      // that it is about: its own, or the next one with content if it stands alone
	codes  []lint.Code
	until  time.Time
	reason string
	wrong  string // what is wrong with its form; then only at and meant are set
	meant  string // the beginning in place of a misspelt one; empty if that is right
}

// ignoreForm is how a comment is written.
const ignoreForm = "# easymicro: ignore EM304 until 2027-01-01 because REASON"

var (
	ignoreMark = regexp.MustCompile(`(?i)^\s*easymicro:\s*ignore\b`)
	ignoreText = regexp.MustCompile(`^\s*easymicro:\s*ignore\s+([^\s,]+(?:\s*,\s*[^\s,]+)*)((?:\s.*)?)$`)
	ignoreEnd  = regexp.MustCompile(`^\s+until\s+(\S+)\s+because\s+(\S.*?)\s*$`)
	ignoreLike = regexp.MustCompile(`^\s*((\pL+)\s*:?\s*(\pL+))[\s:]+EM[0-9]`)
)

// ignoreStart is the beginning of such a comment.
const ignoreStart = "easymicro: ignore"

// ignoresIn returns the comments in a file that ignore warnings, malformed ones included.
func ignoresIn(file string, text []byte) (list []ignore) {
	if !bytes.Contains(text, []byte("EM")) && !bytes.Contains(bytes.ToLower(text), []byte("easymicro")) {
		return nil
	}
	waiting := 0 // comments that stand alone and whose line has not come yet
	number := 0
	for line := range bytes.Lines(text) {
		number++
		before, comment, found := cutComment(string(bytes.TrimRight(line, "\r\n")))
		if content := strings.TrimSpace(before) != ""; content {
			for i := range list[len(list)-waiting:] {
				list[len(list)-waiting+i].line = number
			}
			waiting = 0
		} else if found && isIgnore(comment) {
			waiting++
		}
		if found && isIgnore(comment) {
			one := parseIgnore(comment)
			one.at, one.line = Position{File: file, Line: number, Column: len([]rune(before)) + 1}, number
			list = append(list, one)
		}
	}
	return list
}

// isIgnore reports whether a comment, given without its #, is meant to ignore warnings, misspelt ones included.
func isIgnore(comment string) bool { return ignoreMark.MatchString(comment) || misspelt(comment) != "" }

// misspelt returns the misspelt beginning of a comment that is meant to ignore warnings, and nothing for any other comment.
func misspelt(comment string) string {
	m := ignoreLike.FindStringSubmatch(comment)
	if m == nil || ignoreMark.MatchString(comment) {
		return ""
	}
	like := func(word, known string) bool {
		return strings.EqualFold(word, known) || Suggest(strings.ToLower(word), []string{known}) != ""
	}
	if like(m[2], "easymicro") && (strings.EqualFold(m[3], "ignore") || strings.Contains(m[1], ":") && like(m[3], "ignore")) {
		return m[1] // without the colon, other forms are prose: easymicro ignores EM304 here
	}
	return ""
}

// parseIgnore parses a comment without its #.
func parseIgnore(comment string) ignore {
	if words := misspelt(comment); words != "" {
		return ignore{wrong: "begins with " + strconv.Quote(words), meant: ignoreStart}
	}
	m := ignoreText.FindStringSubmatch(comment)
	if m == nil {
		return ignore{wrong: "names no code"}
	}
	var one ignore
	for code := range strings.SplitSeq(m[1], ",") {
		one.codes = append(one.codes, lint.Code(strings.TrimSpace(code)))
	}
	end := ignoreEnd.FindStringSubmatch(m[2])
	if end == nil {
		switch {
		case !strings.Contains(m[2], " until "):
			return ignore{wrong: "lacks an end date (until 2027-01-01)"}
		case !strings.Contains(m[2], " because "):
			return ignore{wrong: "lacks a reason (because …)"}
		}
		return ignore{wrong: "is malformed"}
	}
	until, err := time.Parse(time.DateOnly, end[1])
	if err != nil {
		return ignore{wrong: fmt.Sprintf("has an invalid end date %q", clip(end[1]))}
	}
	one.until, one.reason = until, end[2]
	return one
}

// cutComment splits a line of YAML before the # of its comment. It knows quotes that begin and end in the line.
func cutComment(line string) (before, comment string, found bool) {
	quote, last := byte(0), byte(' ')
	for i := range len(line) {
		b := line[i]
		switch {
		case quote != 0:
			if b == quote && (quote == '\'' || last != '\\') {
				quote = 0
			}
		case b == '#' && (last == ' ' || last == '\t'):
			return line[:i], line[i+1:], true
		case (b == '"' || b == '\'') && strings.IndexByte(" \t{[,:-", last) >= 0:
			quote = b
		}
		last = b
	}
	return line, "", false
}

// ignoreChecker checks the comments themselves.
type ignoreChecker struct{ *report }

func (c ignoreChecker) check() {
	for _, one := range IgnoresIn(c.texts).list {
		if one.wrong != "" {
			c.add(lint.BadIgnore, one.at, "", "the comment "+one.wrong+", and ignores nothing: write "+ignoreForm).Suggestion = one.meant
		}
		for _, code := range one.codes {
			c.code(&one, code)
		}
	}
}

func (c ignoreChecker) code(one *ignore, code lint.Code) {
	page, known := lint.PageOf(code)
	switch {
	case !known && code.Area() != "handler":
		c.add(lint.UnknownIgnore, one.at, "", fmt.Sprintf("unknown code %q", clip(string(code)))).Suggestion = Suggest(string(code), lint.Codes())
	case known && !page.Warning:
		_ = c.add(lint.ErrorIgnore, one.at, "", fmt.Sprintf("%s (%s) is an error, which cannot be ignored: fix it, and remove the comment", code, page.Title))
	case known && lint.OfIgnores(code):
		_ = c.add(lint.UnknownIgnore, one.at, "", fmt.Sprintf("%s (%s) is about comments like this one, and cannot be ignored", code, page.Title))
	}
}

// Ignored is a warning that a comment takes out.
type Ignored struct { //nolint:errname // no error
	Problem

	Until  time.Time
	Reason string
}

// Ignores holds the comments of files that ignore warnings: # easymicro: ignore EM304 until 2027-01-01 because REASON, on the line
// of a warning or alone on a line before it.
type Ignores struct{ list []ignore }

// IgnoresIn finds the comments in the contents of files, which are by path as shown.
func IgnoresIn(texts map[string][]byte) Ignores {
	var all Ignores
	for _, file := range slices.Sorted(maps.Keys(texts)) {
		all.list = append(all.list, ignoresIn(file, texts[file])...)
	}
	return all
}

// Of takes out the warnings that the comments ignore. A comment that has ended or that matches no warning is reported, the
// latter unless there are errors, which keep checks from being made.
func (x Ignores) Of(p Problems, now time.Time) (kept Problems, ignored []Ignored) {
	if len(x.list) == 0 {
		return p, nil
	}
	byLine := make(map[Position][]int)
	for i := range x.list {
		at := Position{File: x.list[i].at.File, Line: x.list[i].line}
		byLine[at] = append(byLine[at], i)
	}
	used, ended := make(map[int][]lint.Code), make(map[int]bool)
	for _, problem := range p {
		by := -1
		for _, i := range byLine[Position{File: problem.File, Line: problem.Line}] {
			if one := &x.list[i]; problem.Warning && slices.Contains(one.codes, problem.Code) && !lint.OfIgnores(problem.Code) {
				used[i] = append(used[i], problem.Code)
				if ended[i] = !now.Before(one.until); !ended[i] {
					by = i
				}
			}
		}
		if by < 0 {
			kept = append(kept, problem)
		} else {
			ignored = append(ignored, Ignored{problem, x.list[by].until, x.list[by].reason})
		}
	}
	for i := range x.list {
		if one := &x.list[i]; ended[i] {
			kept = append(kept, one.at.Problem("", fmt.Sprintf("the comment expired on %s, and ignores nothing (%s): fix what the warning reports, or set a later date",
				one.until.Format(time.DateOnly), clip(one.reason))).Coded(lint.EndedIgnore))
		}
	}
	if p.Err() == nil {
		kept = append(kept, x.idle(p, used)...)
	}
	return kept.Sort(), ignored
}

// idle returns the problems of comments that match no warning.
func (x Ignores) idle(p Problems, used map[int][]lint.Code) (problems Problems) {
	for i := range x.list {
		one := &x.list[i]
		for _, c := range one.codes {
			page, known := lint.PageOf(c)
			if ignorable := known && page.Warning && !page.Edit && !lint.OfIgnores(c) || c.Area() == "handler"; !ignorable || slices.Contains(used[i], c) {
				continue
			}
			message := fmt.Sprintf("line %d has no %s: remove the comment", one.line, c)
			elsewhere := func(q Problem) bool { return q.File == one.at.File && q.Code == c }
			if j := slices.IndexFunc(p, elsewhere); j >= 0 {
				message = fmt.Sprintf("line %d has no %s: move the comment to line %d, which has one, or remove it", one.line, c, p[j].Line)
			}
			if problems = append(problems, one.at.Problem("", message).Coded(lint.IdleIgnore)); len(problems) == maxProblems {
				return problems
			}
		}
	}
	return problems
}
