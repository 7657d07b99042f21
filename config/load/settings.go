package load

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"github.com/easymicro/easymicro/config"
)

// EnvPrefix is the prefix of the variables that override the manifest: EASYMICRO_LISTEN is --listen.
const EnvPrefix = "EASYMICRO"

// settings are the scalars of a host that flags and variables may set. Viper handles only these: it would lower-case
// the keys of the manifest, and has no positions.
type settings struct {
	Listen      string `mapstructure:"listen"`
	Name        string `mapstructure:"name"`
	LogLevel    string `mapstructure:"log-level"`
	LogFormat   string `mapstructure:"log-format"`
	AdminListen string `mapstructure:"admin-listen"`
}

// setting is one of the settings: its key, which is also its flag, and its path in the manifest.
type setting struct {
	key, path string
	value     func(*settings) *string
	ofFile    func(*config.Manifest) string
}

var all = []setting{
	{"listen", "listeners[0].address", func(s *settings) *string { return &s.Listen }, func(m *config.Manifest) string { return string(m.Listeners[0].Address) }},
	{"name", "host.name", func(s *settings) *string { return &s.Name }, func(m *config.Manifest) string { return m.Host.Name }},
	{"log-level", "telemetry.logs.level", func(s *settings) *string { return &s.LogLevel }, func(m *config.Manifest) string { return m.Telemetry.Logs.Level }},
	{"log-format", "telemetry.logs.format", func(s *settings) *string { return &s.LogFormat }, func(m *config.Manifest) string { return m.Telemetry.Logs.Format }},
	{"admin-listen", "admin.address", func(s *settings) *string { return &s.AdminListen }, func(m *config.Manifest) string { return string(m.Admin.Address) }},
}

// override applies flags over variables over the file over the defaults.
func override(m *config.Manifest, flags *pflag.FlagSet) config.Problems {
	s, err := resolve(m, flags)
	if err != nil {
		return config.Problems{{Message: fmt.Sprintf("flags and %s_* variables: %s", EnvPrefix, err)}}
	}
	var problems config.Problems
	for _, one := range all {
		if source := one.source(flags); source != "" {
			problems = append(problems, m.Override(one.path, *one.value(s), source)...)
		}
	}
	return problems
}

func resolve(m *config.Manifest, flags *pflag.FlagSet) (*settings, error) {
	v := viper.NewWithOptions(viper.KeyDelimiter("\x00"), viper.ExperimentalBindStruct(), viper.EnvKeyReplacer(strings.NewReplacer("-", "_")))
	v.SetEnvPrefix(EnvPrefix)
	v.AutomaticEnv()
	file := map[string]any{}
	for _, one := range all {
		if m.Written(one.path) {
			file[one.key] = one.ofFile(m)
		} else {
			v.SetDefault(one.key, one.ofFile(m))
		}
		if f := lookup(flags, one.key); f != nil {
			if err := v.BindPFlag(one.key, f); err != nil {
				return nil, err
			}
		}
	}
	if err := v.MergeConfigMap(file); err != nil {
		return nil, err
	}
	var s settings
	if err := v.UnmarshalExact(&s); err != nil {
		return nil, err
	}
	return &s, nil
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
	for _, flag := range []string{"config", "admin", "output", "no-color", "screen"} {
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
		p := config.Problem{Path: name, Warning: true, Message: "unknown variable: neither easymicro nor a file of the host uses it"}
		if end := config.Suggest(strings.TrimPrefix(name, prefix), ends); end != "" {
			p.Suggestion = prefix + end
		}
		problems = append(problems, p)
	}
	slices.SortFunc(problems, func(a, b config.Problem) int { return strings.Compare(a.Path, b.Path) })
	return problems
}
