package config

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var numberAndUnit = regexp.MustCompile(`^([+-]?[0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµ%]*)$`)

// split is the number and the unit of text.
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

// parseDuration takes 500ms, 1m30s and 0.
func parseDuration(tag, text string) (value time.Duration, message, suggestion string) {
	value, message, suggestion = parseSigned(tag, text)
	if message == "" && value < 0 {
		return 0, fmt.Sprintf(negative, clip(text)), ""
	}
	return value, message, suggestion
}

const negative = "must not be negative, as %s is"

// parseSigned takes -1s too: among the options of handlers only bounds keep durations from being negative.
func parseSigned(_, text string) (value time.Duration, message, suggestion string) {
	if value, err := time.ParseDuration(text); err == nil {
		return value, "", ""
	}
	number, unit, ok := split(text)
	if !ok {
		return 0, fmt.Sprintf("must be a duration like 500ms or 1m30s, not %q", clip(text)), ""
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
	if suggestion == clip(text) { // a known unit, so it is the number
		return 0, fmt.Sprintf("%s is too long", clip(text)), ""
	}
	return 0, fmt.Sprintf("must be a duration like 500ms or 1m30s, not %q", clip(text)), suggestion
}

// parseBytes takes 4MiB, 64KB, 100B and 0.
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
			return 0, fmt.Sprintf("must not be negative, as %s is", clip(text)), ""
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

// parseShare takes 50% and fractions up to 1.
func parseShare(tag, text string) (value float64, message, suggestion string) {
	const form = "must be a share like 50% or 0.5, not "
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
	f, message, _ := parseFloat(tag, text)
	switch {
	case message != "":
		return 0, form + quoted(tag, text), ""
	case f > 1 && f <= 100:
		return 0, fmt.Sprintf("%s is no share: %s%% or %s?", clip(text), clip(text), strconv.FormatFloat(round(f/100), 'f', -1, 64)), ""
	case f < 0 || f > 1:
		return 0, fmt.Sprintf("must be from 0%% to 100%%, not %s", clip(text)), ""
	}
	return f, "", ""
}

// parseRate takes plain numbers; the time is a field of its own.
func parseRate(tag, text string) (value float64, message, suggestion string) {
	if number, per, ok := strings.Cut(text, "/"); ok && tag == "!!str" {
		if _, err := strconv.ParseFloat(number, 64); err == nil {
			switch per {
			case "s", "m", "h", "ms":
				per = "1" + per
			case "sec", "second":
				per = "1s"
			case "min", "minute":
				per = "1m"
			}
			return 0, fmt.Sprintf("the time is a field of its own: rate: %s, per: %s", number, clip(per)), ""
		}
	}
	f, message, suggestion := parseFloat(tag, text)
	if message == "" && f <= 0 {
		return 0, fmt.Sprintf("must be above 0, not %s; to refuse everyone use access", clip(text)), ""
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
	} else if at, err := time.Parse("2006-01-02 15:04:05", text); err == nil {
		suggestion = at.Format(time.RFC3339)
	}
	return value, fmt.Sprintf("must be a time like 2026-12-31T00:00:00Z, not %q", clip(text)), suggestion
}
