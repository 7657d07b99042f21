package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Duration is a duration with its unit: 500ms, 1m30s.
type Duration time.Duration

// Std returns the duration as a time.Duration.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String returns the shortest form: 2m, not 2m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Bytes is a size with its unit: 4MiB, 64KB.
type Bytes int64

// String returns the size in the largest binary unit that divides it.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if u.binary && b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// Share is a ratio from 0 to 1: 50% or 0.5.
type Share float64

// String returns the ratio as a percentage.
func (s Share) String() string { return strconv.FormatFloat(round(float64(s)*100), 'f', -1, 64) + "%" }

// Rate is a number of calls, fractions allowed.
type Rate float64

// String returns the plain number.
func (r Rate) String() string { return strconv.FormatFloat(float64(r), 'f', -1, 64) }

// round removes binary rounding errors: 0.07*100 is 7.
func round(f float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(f, 'g', 12, 64), 64)
	if err != nil {
		return f
	}
	return r
}

type byteUnit struct {
	name   string
	size   int64
	binary bool
}

var byteUnits = []byteUnit{
	{"TiB", 1 << 40, true},
	{"GiB", 1 << 30, true},
	{"MiB", 1 << 20, true},
	{"KiB", 1 << 10, true},
	{"TB", 1e12, false},
	{"GB", 1e9, false},
	{"MB", 1e6, false},
	{"KB", 1e3, false},
	{"kB", 1e3, false},
	{"B", 1, true},
}

var numberAndUnit = regexp.MustCompile(`^([+-]?[0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµ%]*)$`)

// split returns the number and the unit of text.
func split(text string) (number, unit string, ok bool) {
	m := numberAndUnit.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

var durationUnits = map[string]string{
	"msec": "ms", "msecs": "ms", "millis": "ms", "millisecond": "ms", "milliseconds": "ms",
	"sec": "s", "secs": "s", "second": "s", "seconds": "s",
	"min": "m", "mins": "m", "minute": "m", "minutes": "m", "hr": "h", "hrs": "h", "hour": "h", "hours": "h",
	"usec": "us", "micros": "us", "microseconds": "us", "nanos": "ns", "nanoseconds": "ns",
	"ms": "ms", "s": "s", "m": "m", "h": "h", "us": "us", "ns": "ns",
}

// parseDuration parses 500ms, 1m30s and 0.
func parseDuration(tag, text string) (value time.Duration, message, suggestion string) {
	value, message, suggestion = parseSigned(tag, text)
	if message == "" && value < 0 {
		return 0, fmt.Sprintf(negative, clip(text)), ""
	}
	return value, message, suggestion
}

const negative = "must not be negative, got %s"

// parseSigned also accepts negative durations, which options of handlers may have.
func parseSigned(_, text string) (value time.Duration, message, suggestion string) {
	if value, err := time.ParseDuration(text); err == nil {
		return value, "", ""
	}
	number, unit, ok := split(text)
	if !ok {
		return 0, fmt.Sprintf("must be a duration like 500ms or 1m30s, not %q", clip(text)), oneOf(text)
	}
	if unit == "" {
		return 0, fmt.Sprintf("%s has no unit: %sms or %ss?", clip(text), number, number), ""
	}
	switch known := durationUnits[strings.ToLower(unit)]; {
	case known != "":
		suggestion = number + known
	case strings.HasPrefix(strings.ToLower(unit), "d"):
		if days, err := strconv.ParseFloat(number, 64); err == nil && days < 1e4 {
			suggestion = strconv.FormatFloat(days*24, 'f', -1, 64) + "h"
		}
	}
	if suggestion == clip(text) { // the unit is known, so the number is wrong
		return 0, fmt.Sprintf("%s is too long", clip(text)), ""
	}
	return 0, fmt.Sprintf("must be a duration like 500ms or 1m30s, not %q", clip(text)), suggestion
}

// oneOf returns the duration for the name of a unit alone.
func oneOf(unit string) string {
	unit = strings.ToLower(unit)
	if unit == "day" || unit == "d" {
		return "24h"
	}
	if known := durationUnits[unit]; known != "" {
		return "1" + known
	}
	return ""
}

// parseBytes parses 4MiB, 64KB, 100B and 0.
func parseBytes(_, text string) (value int64, message, suggestion string) {
	number, unit, ok := split(text)
	if !ok {
		return 0, fmt.Sprintf("must be a size like 4MiB or 64KiB, not %q", clip(text)), ""
	}
	if unit == "" && number == "0" {
		return 0, "", ""
	}
	if unit == "" {
		return 0, fmt.Sprintf("%s has no unit: %sB, %sKiB or %sMiB?", clip(text), number, number, number), ""
	}
	for _, u := range byteUnits {
		if u.name != unit {
			continue
		}
		f, err := strconv.ParseFloat(number, 64)
		switch size := f * float64(u.size); {
		case err != nil || size > math.MaxInt64/2:
			return 0, fmt.Sprintf("%s is too large", clip(text)), ""
		case size < 0:
			return 0, fmt.Sprintf("must not be negative, got %s", clip(text)), ""
		default:
			return int64(size), "", ""
		}
	}
	switch first := strings.ToUpper(unit[:1]); first {
	case "K", "M", "G", "T":
		suggestion = number + first + "iB"
	case "B":
		suggestion = number + "B"
	}
	return 0, fmt.Sprintf("must be a size like 4MiB or 64KiB, not %q", clip(text)), suggestion
}

// parseShare parses 50% and fractions up to 1.
func parseShare(tag, text string) (value float64, message, suggestion string) {
	const form = "must be a ratio like 50% or 0.5, not "
	if number, ok := strings.CutSuffix(text, "%"); ok {
		f, err := strconv.ParseFloat(number, 64)
		if err != nil {
			if _, err = strconv.ParseFloat(strings.TrimSpace(number), 64); err == nil {
				suggestion = strings.TrimSpace(number) + "%"
			}
			return 0, form + strconv.Quote(clip(text)), suggestion
		}
		if !(f >= 0 && f <= 100) {
			return 0, fmt.Sprintf("must be from 0%% to 100%%, not %s", clip(text)), ""
		}
		return round(f / 100), "", ""
	}
	f, message, suggestion := parseFloat(tag, text)
	switch {
	case strings.HasSuffix(message, withoutQuotes):
		return 0, form + quoted(tag, text) + ": " + withoutQuotes, ""
	case message != "":
		return 0, form + quoted(tag, text), suggestion
	case f > 1 && f <= 100:
		return 0, fmt.Sprintf("%s is not a ratio: %s%% or %s?", clip(text), clip(text), strconv.FormatFloat(round(f/100), 'f', -1, 64)), ""
	case f < 0 || f > 1:
		return 0, fmt.Sprintf("must be from 0%% to 100%%, not %s", clip(text)), ""
	}
	return f, "", ""
}

var rateForm = regexp.MustCompile(`(?i)^([0-9]+(?:\.[0-9]+)?)\s*((?-i:[kKM])\b)?\s*(r|req|reqs|requests|calls|hits|tokens)?` +
	`\s*(?:/|per\s|ps$)\s*(?:([0-9]+)\s*)?([a-z]*)$`)

// ratePer returns the rate and the period of 5/s, 100/1m, 10r/s, 1000 requests per hour and 50rps.
func ratePer(text string) (number, per string, ok bool) {
	m := rateForm.FindStringSubmatch(strings.TrimSuffix(strings.Replace(strings.TrimSpace(text), "qps", "rps", 1), "."))
	if m == nil {
		return "", "", false
	}
	number = m[1]
	if m[2] != "" {
		if number = withSuffix(m[1] + m[2]); number == "" {
			return "", "", false
		}
	}
	n, unit := cmp.Or(m[4], "1"), strings.ToLower(m[5])
	switch per = n + durationUnits[unit]; {
	case unit == "" && m[4] == "":
		per = "1s"
	case n == "1" && (unit == "d" || unit == "day" || unit == "days"):
		per = "24h"
	}
	d, err := time.ParseDuration(per)
	return number, per, err == nil && d > 0 && d <= 24*time.Hour // the bound of per
}

// parseRate parses plain numbers; the period is a field of its own.
func parseRate(tag, text string) (value float64, message, suggestion string) {
	if number, per, ok := ratePer(text); ok && tag == "!!str" {
		return 0, fmt.Sprintf("must be a plain number; write two fields: rate: %s, per: %s", number, per), ""
	}
	f, message, suggestion := parseFloat(tag, text)
	if message == "" && f <= 0 {
		return 0, fmt.Sprintf("must be greater than 0, got %s; to refuse everyone use access", clip(text)), ""
	}
	return f, message, suggestion
}

func parseTime(_, text string) (value time.Time, message, suggestion string) {
	value, err := time.Parse(time.RFC3339, text)
	if err == nil {
		return value, "", ""
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		suggestion = day.Format(time.RFC3339)
	}
	for _, form := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00"} {
		if at, err := time.Parse(form, text); err == nil {
			suggestion = at.Format(time.RFC3339)
		}
	}
	return value, fmt.Sprintf("must be a time like 2026-12-31T00:00:00Z, not %q", clip(text)), suggestion
}

func parseBool(tag, text string) (value bool, message, suggestion string) {
	if tag == "!!bool" {
		return strings.EqualFold(text, "true"), "", ""
	}
	switch strings.ToLower(text) {
	case "yes", "on", "y", "1", "enabled", "true":
		suggestion = "true"
	case "no", "off", "n", "0", "disabled", "false":
		suggestion = "false"
	}
	return false, fmt.Sprintf("must be true or false, not %s", quoted(tag, text)), suggestion
}

func parseString(tag, text string) (value, message, suggestion string) {
	switch tag {
	case "!!int", "!!float":
		return "", fmt.Sprintf("must be a string, not the number %s: ", clip(text)) + inQuotesInstead, ""
	case "!!bool":
		return "", fmt.Sprintf("must be a string, not the boolean %s: ", clip(text)) + inQuotesInstead, ""
	}
	return text, "", ""
}

func parseInt(tag, text string) (value int64, message, suggestion string) {
	f, message, suggestion := parseFloat(tag, text)
	if message != "" {
		return 0, strings.Replace(message, "a number", "an integer", 1), suggestion
	}
	if i, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64); err == nil {
		return i, "", ""
	}
	switch {
	case f != math.Trunc(f) || math.IsInf(f, 0) || math.IsNaN(f):
		return 0, fmt.Sprintf("must be an integer, not %s", clip(text)), ""
	case math.Abs(f) > 1<<53:
		return 0, fmt.Sprintf("%s is too large", clip(text)), ""
	}
	return int64(f), "", ""
}

func parseFloat(tag, text string) (value float64, message, suggestion string) {
	digits := strings.ReplaceAll(text, "_", "")
	if i, err := strconv.ParseInt(digits, 0, 64); err == nil && strings.ContainsAny(digits, "xXoObB") {
		return 0, fmt.Sprintf("must be a decimal number, not %s", quoted(tag, text)), strconv.FormatInt(i, 10)
	}
	if tag != "!!int" && tag != "!!float" {
		message = fmt.Sprintf("must be a number, not %s", quoted(tag, text))
		switch f, err := strconv.ParseFloat(digits, 64); {
		case err == nil && (math.IsInf(f, 0) || math.IsNaN(f)):
			return 0, fmt.Sprintf("must be a finite number, not %s", text), ""
		case err == nil && plainTag(text) == "!!str":
			return 0, message, strconv.FormatFloat(f, 'f', -1, 64)
		case err == nil:
			return 0, message + ": " + withoutQuotes, ""
		case errors.Is(err, strconv.ErrRange):
			return 0, fmt.Sprintf("%s is out of range", clip(text)), ""
		}
		return 0, message, withSuffix(text)
	}
	if len(digits) > 1 && digits[0] == '0' && digits[1] != '.' && digits[1] != 'e' && digits[1] != 'E' {
		return octal(text, strings.TrimLeft(digits, "0"))
	}
	switch strings.ToLower(strings.TrimLeft(digits, "+-")) {
	case ".inf", ".nan":
		return 0, fmt.Sprintf("must be a finite number, not %s", text), ""
	}
	f, err := strconv.ParseFloat(digits, 64)
	if err != nil || math.IsInf(f, 0) {
		return 0, fmt.Sprintf("%s is out of range", clip(text)), ""
	}
	return f, "", ""
}

// octal rejects numbers with a leading zero, which some readers take for octal.
func octal(text, decimal string) (value float64, message, suggestion string) {
	n, err := strconv.ParseInt(decimal, 8, 64)
	if err != nil || decimal == strconv.FormatInt(n, 10) {
		return 0, fmt.Sprintf("%s has a leading zero", clip(text)), decimal
	}
	return 0, fmt.Sprintf("%s may be octal: %s or %d?", clip(text), decimal, n), ""
}

// withSuffix expands 10k and 2M, and drops the % of a percentage.
func withSuffix(text string) string {
	if digits, ok := strings.CutSuffix(text, "%"); ok && plainTag(digits) == "!!int" {
		return digits
	}
	for suffix, zeros := range map[string]string{"k": "000", "K": "000", "M": "000000"} {
		digits, ok := strings.CutSuffix(text, suffix)
		if _, err := strconv.ParseUint(digits, 10, 32); ok && err == nil {
			return digits + zeros
		}
	}
	return ""
}

func quoted(tag, text string) string {
	if slices.Contains([]string{"!!int", "!!float", "!!bool"}, tag) {
		return clip(text)
	}
	return strconv.Quote(clip(text))
}

const (
	withoutQuotes   = "leave out the quotes"
	inQuotesInstead = "write it in quotes"
)
