package host

import (
	"strconv"
	"strings"
)

// splitMethod takes Service.Method apart; service names may have dots, method names have none.
func splitMethod(name string) (service, method string) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return name, ""
	}
	return name[:i], name[i+1:]
}

// quoteName shows a name that came from a peer: bounded, and without what could break a line of a log.
func quoteName(name string) string {
	const shown = 64
	if len(name) > shown {
		name = strings.ToValidUTF8(name[:shown], "") + "…"
	}
	quoted := strconv.Quote(name)
	if plain := quoted[1 : len(quoted)-1]; plain == name && name != "" {
		return plain
	}
	return quoted
}
