package load

import (
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
)

// Variable returns the name of the variable that sets a flag.
func Variable(flag string) string {
	return EnvPrefix + "_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Variables are the names of all variables that mean something to easymicro: those of the settings of a host, and those that
// set other flags of its commands.
func Variables() []string {
	var names []string
	for _, flag := range []string{"config", "admin", "output", "no-color", "screen"} {
		names = append(names, Variable(flag))
	}
	for _, one := range all {
		names = append(names, Variable(one.key))
	}
	return names
}

// ofOrchestrator matches what Kubernetes and Docker set for a service that is named easymicro, or easymicro-something.
var ofOrchestrator = regexp.MustCompile(`_SERVICE_(HOST|PORT(_\w+)?)$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

// Unknown returns warnings of the variables in the environment that look as if they were easymicro's and mean nothing:
// they begin with EASYMICRO_, are none of Variables, and used does not know them as variables of the files.
func Unknown(used map[string]bool) config.Problems {
	const prefix = EnvPrefix + "_"
	known := Variables()
	var ends []string // the prefix, which all have, would make any two alike
	for _, k := range known {
		ends = append(ends, strings.TrimPrefix(k, prefix))
	}
	var problems config.Problems
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" || !strings.HasPrefix(name, prefix) || slices.Contains(known, name) || used[name] || ofOrchestrator.MatchString(name) {
			continue
		}
		p := config.Problem{Path: name, Warning: true, Message: "no such variable: neither easymicro nor a file of the host reads it"}
		if end := config.Suggest(strings.TrimPrefix(name, prefix), ends); end != "" {
			p.Suggestion = prefix + end
		}
		problems = append(problems, p)
	}
	slices.SortFunc(problems, func(a, b config.Problem) int { return strings.Compare(a.Path, b.Path) })
	return problems
}
