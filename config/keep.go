package config

import (
	"fmt"
	"slices"
	"time"

	"github.com/easymicro/easymicro/config/lint"
)

// keepChecker checks the rules that policies.keep names.
type keepChecker struct{ *report }

func (c keepChecker) check() {
	var list []string
	for i := range c.rules {
		list = append(list, c.rules[i].Name)
	}
	for i, name := range c.m.Policies.Keep {
		path := fmt.Sprintf("policies.keep[%d]", i)
		at := slices.Index(list, name)
		if at < 0 {
			c.manifest(lint.NotKept, path, "rule %s is missing, but must be kept", name).Suggestion = Suggest(name, list)
			continue
		}
		r := &c.rules[at]
		if field, why := unkept(r, c.now); why != "" {
			_ = c.rule(lint.NotKept, r, field, "%s, and policies.keep (%s) demands that rule %s is enforced for all callers", why, c.m.Position(path), name)
		}
	}
}

// unkept returns the field by which a rule is not enforced for all callers, and why; empty if it is.
func unkept(r *Rule, now time.Time) (field, why string) {
	switch {
	case r.Mode == Shadow || r.Mode == Off:
		return "mode", "is " + string(r.Mode)
	case r.Expired(now):
		return "expires", "the rule has expired"
	case share(r.EnforceShare) < 1:
		return "enforceShare", "is " + r.EnforceShare.String()
	}
	return "", ""
}
