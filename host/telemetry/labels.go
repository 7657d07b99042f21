package telemetry

import (
	"slices"

	"github.com/easymicro/easymicro/wire/code"
)

const (
	labelBytes = 256
	otherLabel = "other"
	maxReasons = 64
)

// label makes any text fit for a label value: Prometheus fails a whole scrape over one that is not UTF-8.
func label(s string) string { return code.Clip(s, labelBytes) }

// transports that calls come by; any other is "other".
var transports = []string{"rpcx", "http", "local", otherLabel}

func transportLabel(s string) string {
	if slices.Contains(transports, s) {
		return s
	}
	return otherLabel
}

func protocolLabel(s string) string {
	switch s {
	case "rpcx", "http", "tls":
		return s
	}
	return otherLabel
}

// isReason reports whether s looks like one of the program's own reasons, and not like something that a peer made up.
func isReason(s string) bool {
	if s == "" || len(s) > 40 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return true
}
