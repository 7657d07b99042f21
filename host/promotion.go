package host

import (
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
)

// promote edits the text of the file with a rule, so that the rule is enforced for more callers than in set.
func promote(set *config.Set, texts map[string][]byte, p *admin.Promotion) error {
	to := config.Share(1)
	if p.EnforceShare != "" {
		var err error
		if to, err = config.ParseShare(p.EnforceShare); err != nil || to == 0 {
			return admin.Errorf(admin.CodeBadRequest, "enforce_share: cannot read %q", p.EnforceShare).WithHelp("want a share above 0, such as 10%%")
		}
	}
	r := set.Rule(p.Rule)
	if r == nil {
		return noRule(set, p.Rule)
	}
	switch is := r.EnforcedShare(); {
	case r.Expired(time.Now()):
		return admin.Errorf(admin.CodeConflict, "the rule %s has expired", r.Name).WithHelp("change expires in %s", r.Position("expires"))
	case r.Mode == config.Off:
		return admin.Errorf(admin.CodeConflict, "the rule %s is off, so that nothing is known of what it would refuse", r.Name).
			WithHelp("write mode: shadow in %s, and see easymicro shadow %s", r.Position("mode"), r.Name)
	case is == 1:
		return admin.Errorf(admin.CodeConflict, "the rule %s is enforced for all callers already", r.Name)
	case is >= to:
		return admin.Errorf(admin.CodeConflict, "the rule %s is enforced for %s of the callers already", r.Name, is).
			WithHelp("name a larger share; easymicro rollback puts an earlier revision in force")
	}
	file := r.Position("name").File
	text, err := config.Promoted(r, texts[file], to)
	texts[file] = text
	return err
}

// noRule returns the error for the name of a rule that a set does not have.
func noRule(set *config.Set, name string) error {
	var names []string
	for i := range set.Rules {
		names = append(names, set.Rules[i].Name)
	}
	e := admin.Errorf(admin.CodeNotFound, "no rule is named %q", name)
	if meant := config.Suggest(name, names); meant != "" {
		return e.WithHelp("did you mean %s?", meant)
	}
	return e.WithHelp("easymicro config shows the rules")
}

// whyApplied returns the reason for what a request puts in force.
func whyApplied(q *admin.ApplyRequest) string {
	if q.Promote == nil {
		return q.Message
	}
	why := "enforces " + q.Promote.Rule
	if share := q.Promote.EnforceShare; share != "" {
		why += " for " + share + " of the callers"
	}
	if q.Message != "" {
		why = q.Message + " (" + why + ")"
	}
	return why
}
