// Package load turns files, environment and flags into a set: a checked manifest with its rules and tokens.
package load

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/easymicro/easymicro/config"
)

// Options say what there is besides the files.
type Options struct {
	// Flags that were given count over everything else: --listen, --name, --log-level, --log-format, --admin-listen.
	// They survive reloads, because every load gets them. Flags that the set does not define are none.
	Flags *pflag.FlagSet
	// Env looks up ${VAR} in the files; nil is the environment. EASYMICRO_* is always taken from the environment.
	Env func(name string) (string, bool)
	// Reload says that a good set is running. Then a pattern may match nothing as long as another matches something,
	// and the fallback is not tried.
	Reload bool
	// Manifest stands in for the content of the manifest, for hosts that have none on disk. The path then only names it, and
	// says by its folder where relative paths start.
	Manifest []byte
	// RetryAfter is how long to wait before a set with errors is read a second time, for editors that write in place;
	// zero reads once.
	RetryAfter time.Duration
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
	if o.Env == nil {
		o.Env = os.LookupEnv
	}
	r, err := readSet(path, o.Manifest, o.Env)
	if err != nil {
		return nil, "", err
	}
	set, problems := r.build(r.policies, o)
	if problems.Err() == nil {
		return set, set.Hash, nil
	}
	if standIn := r.standIn(problems, o); standIn != nil {
		return standIn, standIn.Hash, nil
	}
	return nil, r.hash(), problems
}

// build decodes and checks what was read, with these files for policies.
func (r *readFiles) build(policies []file, o Options) (*config.Set, config.Problems) {
	set := &config.Set{Manifest: r.decoded, Dir: r.dir, Hash: r.hash()}
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
			problems = append(problems, *f.problem)
			continue
		}
		rules, found := config.DecodeRules(f.display, f.data, o.Env)
		set.Rules, problems = append(set.Rules, rules...), append(problems, found...)
	}
	if t := r.tokens; t != nil && t.problem != nil {
		problems = append(problems, *t.problem)
	} else if t != nil {
		set.Files = append(set.Files, t.shown())
		tokens, found := config.DecodeTokens(t.display, t.data, o.Env)
		set.Tokens, problems = tokens, append(problems, found...)
	}
	problems = append(append(problems, r.contents(set)...), r.absent()...)
	problems = problems.With(set.Validate())
	if !r.fallen {
		problems = problems.With(r.missing(o.Reload))
	}
	if problems.Err() != nil {
		return nil, problems
	}
	set.Warnings = problems.Warnings()
	return set, problems
}

// standIn is the set with the fallback files, when the manifest is good, its policy files are not, and it has some.
func (r *readFiles) standIn(problems config.Problems, o Options) *config.Set {
	if o.Reload || r.decoded == nil || len(r.decoded.Policies.Fallback) == 0 {
		return nil
	}
	for _, p := range problems.Errors() {
		if p.File == r.manifest.display && !r.isMissing(p) {
			return nil
		}
	}
	fallen := *r
	fallen.fallen, fallen.total = true, 0
	files := fallen.list(r.decoded.Policies.Fallback)
	if len(files) == 0 {
		return nil
	}
	set, found := fallen.build(files, o)
	if found.Err() != nil {
		return nil
	}
	set.StandIn, set.Rejected = "fallback", problems
	set.Warnings = append(set.Warnings, config.Problem{
		File: r.manifest.display, Path: "policies.fallback", Warning: true,
		Message: fmt.Sprintf("the policy files have %d problems: the fallback stands in for them", len(problems.Errors())),
	})
	return set
}
