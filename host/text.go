package host

import (
	"strconv"
	"strings"

	"github.com/easymicro/easymicro/wire/code"
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
	name = code.Clip(name, 64)
	quoted := strconv.Quote(name)
	if plain := quoted[1 : len(quoted)-1]; plain == name && name != "" {
		return plain
	}
	return quoted
}
