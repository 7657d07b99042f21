// Package load turns files, environment and flags into a set: a checked manifest with its rules and tokens.
package load

import (
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/easymicro/easymicro/config"
)

// Options say what there is besides the files.
type Options struct {
	// Flags that were given count over everything else: --listen, --name, --log-level, --log-format, --admin-listen.
	// They survive reloads, because every load gets them. Flags missing from the set are ignored.
	Flags *pflag.FlagSet
	// Env looks up ${VAR} in the files; nil is the environment. EASYMICRO_* is always taken from the environment.
	Env func(name string) (string, bool)
	// Reload says that a good set is running: then the fallback is not tried.
	Reload bool
	// Manifest stands in for the content of the manifest, for hosts that have none on disk. The path then only names it, and
	// says by its folder where relative paths start.
	Manifest []byte
	// At, if set, is called with each path before it is touched, so that a caller can name the file that does not answer.
	At func(path string)
	// RetryAfter is how long to wait before a set with errors is read a second time, for editors that write in place;
	// zero reads once.
	RetryAfter time.Duration

	used map[string]bool // the variables that were looked up
}

// Load reads the manifest at path and all that belongs to it. The error is config.Problems when the files, flags or
// variables are wrong, warnings included; any other error means that the manifest cannot be read at all.
func Load(path string, o Options) (*config.Set, error) {
	set, hash, err := load(path, o)
	if err == nil || o.RetryAfter <= 0 {
		return set, err
	}
	time.Sleep(o.RetryAfter)
	again, secondHash, secondErr := load(path, o)
	if secondErr != nil && secondHash == hash {
		return nil, err
	}
	return again, secondErr
}

func load(path string, o Options) (set *config.Set, hash string, err error) {
	o = o.complete()
	r, err := readSet(path, o)
	if err != nil {
		return nil, "", err
	}
	set, problems := r.build(r.policies, o)
	lost := r.lost(r.found, r.policies)
	problems = problems.With(lost)
	if problems.Err() == nil {
		problems = append(problems, r.unready(o)...)
		if !o.Reload || len(r.decoded.Policies.Fallback) == 0 { // else the fallback may use variables, and was not seen
			problems = append(problems, Unknown(o.used)...)
		}
		set.Warnings = problems.Warnings().Sort()
		return set, set.Hash, nil
	}
	if standIn := r.standIn(&problems, lost, o); standIn != nil {
		return standIn, standIn.Hash, nil
	}
	return nil, r.hash(), problems
}

func (o Options) complete() Options {
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	if o.At == nil {
		o.At = func(string) {}
	}
	o.used = make(map[string]bool)
	return o
}

// lookup is Env, and remembers what is asked for.
func (o Options) lookup(name string) (string, bool) {
	o.used[name] = true
	return o.Env(name)
}

// lost are the problems of policy files that cannot be found or read.
func (r *readFiles) lost(f *found, policies []file) config.Problems {
	if r.decoded == nil {
		return nil
	}
	problems := append(r.troubles(f), r.unread(f)...)
	if !r.decoded.Policies.AllowEmpty {
		for _, p := range r.missing(f) {
			p.Message += "; with policies.allowEmpty: true that is fine"
			problems = append(problems, p)
		}
	}
	for i := range policies {
		if policies[i].problem != nil {
			problems = append(problems, r.wrong(&policies[i]))
		}
	}
	return problems
}

// build decodes and checks what was read, with these files for policies.
func (r *readFiles) build(policies []file, o Options) (*config.Set, config.Problems) {
	set := &config.Set{Manifest: r.decoded, Dir: r.dir, Hash: r.hash(), Env: o.Env}
	problems := append(config.Problems(nil), r.problems...)
	if r.decoded == nil {
		return nil, problems.Sort()
	}
	problems = append(problems, override(set.Manifest, o.Flags)...)
	set.Files = append(set.Files, r.manifest.shown())
	set.Rules = append(set.Rules, set.Manifest.Policies.Rules...)
	for _, f := range policies {
		set.Files = append(set.Files, f.shown())
		if f.problem != nil {
			continue
		}
		rules, found := config.DecodeRules(f.display, f.data, o.lookup)
		set.Rules, problems = append(set.Rules, rules...), append(problems, found...)
	}
	if t := r.tokens; t != nil && t.problem != nil {
		problems = append(problems, r.wrong(t))
	} else if t != nil {
		set.Files = append(set.Files, t.shown())
		tokens, found := config.DecodeTokens(t.display, t.data, o.lookup)
		set.Tokens, problems = tokens, append(problems, found...)
	}
	problems = append(append(problems, r.contents(set)...), r.endpoints...)
	problems = problems.With(set.Validate())
	if problems.Err() != nil {
		return nil, problems
	}
	set.Warnings = problems.Warnings()
	return set, problems
}
