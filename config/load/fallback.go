package load

import (
	"fmt"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
)

// standIn is the set with the fallback files, when the manifest is good, its policy files are not, and it has some. What
// is wrong with the fallback too is added to problems. lost are those of them that are about policy files.
func (r *readFiles) standIn(problems *config.Problems, lost config.Problems, o Options) *config.Set {
	if o.Reload || r.decoded == nil || len(r.decoded.Policies.Fallback) == 0 {
		return nil
	}
	for _, p := range problems.Errors() {
		if p.File == r.manifest.display && !slices.Contains(lost, p) {
			return nil
		}
	}
	set, wrong := r.fallback(o)
	if wrong != nil {
		*problems = problems.With(wrong)
		return nil
	}
	set.StandIn, set.Rejected, set.Desired = "fallback", *problems, []config.File{r.manifest.shown()}
	for i := range r.policies {
		set.Desired = append(set.Desired, r.policies[i].shown())
	}
	p := r.problemAt("policies.fallback", "stands in for policy files that are wrong: mend "+strings.Join(problems.Errors().Files(), ", "))
	p.Warning = true
	set.Warnings = append(set.Warnings, p)
	return set
}

// fallback is the set with the fallback files, or what is wrong with it.
func (r *readFiles) fallback(o Options) (*config.Set, config.Problems) {
	fallen := *r
	fallen.total = 0
	f := fallen.find("policies.fallback", r.decoded.Policies.Fallback)
	read := fallen.readAll(f)
	set, problems := fallen.build(read, o)
	problems = problems.With(fallen.lost(f, read))
	if len(read) == 0 && problems.Err() == nil {
		problems = fallen.missing(f)
	}
	if err := problems.Errors(); len(err) > 0 {
		return nil, err
	}
	return set, nil
}

// unready is a warning about a fallback that could not stand in, before the day on which it has to. It is for those who
// check and start, not for each edit.
func (r *readFiles) unready(o Options) config.Problems {
	if o.Reload || len(r.decoded.Policies.Fallback) == 0 {
		return nil
	}
	_, wrong := r.fallback(o)
	if wrong == nil {
		return nil
	}
	p := r.problemAt("policies.fallback", "could not stand in: "+wrong[0].String()+more(len(wrong)-1))
	p.Warning = true
	return config.Problems{p}
}

func more(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", n)
}
