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
	set, found := r.fallback(o)
	if set == nil {
		*problems = problems.With(found)
		return nil
	}
	set.StandIn, set.Rejected, set.Desired = "fallback", *problems, []config.File{r.manifest.shown()}
	for i := range r.policies {
		set.Desired = append(set.Desired, r.policies[i].shown())
	}
	p := r.problemAt("policies.fallback", "stands in for policy files that are wrong: mend "+strings.Join(problems.Errors().Files(), ", "))
	p.Warning = true
	set.Warnings = append(append(set.Warnings, p), found...)
	return set
}

// fallback is the set with the fallback files, which is nil when something is wrong with them, and the problems that the
// fallback adds to those of the set.
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
		return nil, append(err, fallen.unread(f)...)
	}
	return set, fallen.unread(f)
}

// unready are warnings about a fallback that could not stand in, or not as it is believed to, before the day on which it
// has to. They are for those who check and start, not for each edit.
func (r *readFiles) unready(o Options) config.Problems {
	if o.Reload || len(r.decoded.Policies.Fallback) == 0 {
		return nil
	}
	_, found := r.fallback(o)
	warnings := found.Warnings()
	if wrong := found.Errors(); len(wrong) > 0 {
		p := r.problemAt("policies.fallback", "could not stand in: "+wrong[0].String()+more(len(wrong)-1))
		p.Warning = true
		warnings = append(warnings, p)
	}
	return warnings
}

func more(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", n)
}
