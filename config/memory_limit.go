package config

import (
	"fmt"
	"strings"
)

// MemoryLimit is a size, MemoryLimitAuto or MemoryLimitOff.
type MemoryLimit int64

// Memory limits other than a size.
const (
	MemoryLimitAuto MemoryLimit = 0
	MemoryLimitOff  MemoryLimit = -1
)

// String returns the limit as it is written.
func (l MemoryLimit) String() string {
	switch l {
	case MemoryLimitAuto:
		return "auto"
	case MemoryLimitOff:
		return "off"
	}
	return Bytes(l).String()
}

// parseMemoryLimit parses auto, off and sizes.
func parseMemoryLimit(tag, text string) (value int64, message, suggestion string) {
	const form = "must be auto, off or a size like 1GiB, not %s"
	switch word := strings.ToLower(text); word {
	case "auto", "off":
		if text != word {
			return 0, fmt.Sprintf(form, quoted(tag, text)), word
		}
		return int64(map[string]MemoryLimit{"auto": MemoryLimitAuto, "off": MemoryLimitOff}[word]), "", ""
	case "none", "max", "unlimited", "disabled", "false", "no", "0", "-1":
		return 0, fmt.Sprintf(form, quoted(tag, text)), "off"
	}
	if _, _, ok := split(text); !ok {
		return 0, fmt.Sprintf(form, quoted(tag, text)), Suggest(text, []string{"auto", "off"})
	}
	value, message, suggestion = parseBytes(tag, text)
	switch {
	case strings.HasPrefix(message, "must be a size"):
		message = fmt.Sprintf(form, quoted(tag, text))
	case message == "" && (value < 1<<20 || value > 1<<40):
		message = fmt.Sprintf("must be from 1MiB to 1TiB, not %s", clip(text))
	}
	return value, message, suggestion
}
