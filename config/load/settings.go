package load

import (
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
)

// EnvPrefix is the prefix of the variables that override the manifest: EASYMICRO_LISTEN is --listen.
const EnvPrefix = "EASYMICRO"

// setting is a scalar of a host that a flag or a variable may set: its key, which is also its flag, and its path in the manifest.
type setting struct{ key, path string }

var all = []setting{
	{"listen", "listeners[0].address"},
	{"name", "host.name"},
	{"log-level", "telemetry.logs.level"},
	{"log-format", "telemetry.logs.format"},
	{"admin-listen", "admin.address"},
}

// override applies flags over variables over the file over the defaults. Viper handles only the settings: it would lower-case the
// keys of the manifest, and has no positions.
func override(m *config.Manifest, flags *pflag.FlagSet) config.Problems {
	v := viper.NewWithOptions(viper.EnvKeyReplacer(strings.NewReplacer("-", "_")))
	v.SetEnvPrefix(EnvPrefix)
	v.AutomaticEnv()
	var problems config.Problems
	for _, one := range all {
		if f := lookup(flags, one.key); f != nil {
			_ = v.BindPFlag(one.key, f) // fails only without a flag
		}
		if source := one.source(flags); source != "" {
			problems = append(problems, m.Override(one.path, v.GetString(one.key), source)...)
		}
	}
	return problems
}

func lookup(flags *pflag.FlagSet, name string) *pflag.Flag {
	if flags == nil {
		return nil
	}
	return flags.Lookup(name)
}

// source returns the flag or the variable that sets the setting, or "".
func (one setting) source(flags *pflag.FlagSet) string {
	if f := lookup(flags, one.key); f != nil && f.Changed {
		return "--" + one.key
	}
	if name := Variable(one.key); os.Getenv(name) != "" {
		return name
	}
	return ""
}

// Variable returns the name of the variable that sets a flag.
func Variable(flag string) string {
	return EnvPrefix + "_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// Variables returns the names of all variables that easymicro reads: those of the settings, and those of other flags
// of its commands.
func Variables() []string {
	var names []string
	for _, flag := range []string{"config", "admin", "admin-ca-file", "admin-token-file", "output", "no-color", "screen"} {
		names = append(names, Variable(flag))
	}
	for _, one := range all {
		names = append(names, Variable(one.key))
	}
	return names
}

// ofOrchestrator matches the variables that Kubernetes and Docker set for a service named easymicro or
// easymicro-something.
var ofOrchestrator = regexp.MustCompile(`_SERVICE_(HOST|PORT(_\w+)?)$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

// Unknown warns of variables in the environment that begin with EASYMICRO_ and that neither easymicro nor a file of
// the host reads; used holds those of the files.
func Unknown(used map[string]bool) config.Problems {
	const prefix = EnvPrefix + "_"
	known := Variables()
	var ends []string // the common prefix would make any two similar
	for _, k := range known {
		ends = append(ends, strings.TrimPrefix(k, prefix))
	}
	var problems config.Problems
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" || !strings.HasPrefix(name, prefix) || slices.Contains(known, name) || used[name] || ofOrchestrator.MatchString(name) {
			continue
		}
		p := config.Problem{Path: name, Message: "unknown variable: neither easymicro nor a file of the host uses it"}.Coded(lint.UnknownVariable)
		if end := config.Suggest(strings.TrimPrefix(name, prefix), ends); end != "" {
			p.Suggestion = prefix + end
		}
		problems = append(problems, p)
	}
	slices.SortFunc(problems, func(a, b config.Problem) int { return strings.Compare(a.Path, b.Path) })
	return problems
}
