package config

import (
	"strconv"
	"strings"
	"time"
)

// Duration is a time with its unit: 500ms, 1m30s.
type Duration time.Duration

// Std is the duration as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String is the shortest form: 2m, not 2m0s.
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

// String is the size in the largest binary unit that divides it.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if u.binary && b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// Share is a part of a whole, from 0 to 1: 50% or 0.5.
type Share float64

// String is the share in per cent.
func (s Share) String() string { return strconv.FormatFloat(round(float64(s)*100), 'f', -1, 64) + "%" }

// Rate is a number of calls, fractions allowed.
type Rate float64

// String is the plain number.
func (r Rate) String() string { return strconv.FormatFloat(float64(r), 'f', -1, 64) }

// round drops what only binary fractions make: 0.07*100 is 7.
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
