package config

import (
	"maps"
	"slices"
	"strings"
)

// person is a caller with its claims.
type person struct {
	name   string
	claims map[string]string // nil: none
}

// claimPatterns calls yield with the patterns by which a rule distinguishes claims.
func claimPatterns(r *Rule, yield func(name string, patterns Patterns)) {
	for name, p := range r.Match.Identity {
		yield(name, p)
	}
	for i := range r.Match.Except {
		for name, p := range r.Match.Except[i].Identity {
			yield(name, p)
		}
	}
}

// renamedClaim returns a name that rules use for a claim and that means another claim in the next manifest, or "".
func renamedClaim(old, next *Manifest, rules []*Rule) string {
	if old == nil || next == nil || old.Auth.JWT == nil || next.Auth.JWT == nil {
		return ""
	}
	before, after := old.Auth.JWT.Claims, next.Auth.JWT.Claims
	var renamed []string
	for _, r := range rules {
		claimPatterns(r, func(name string, _ Patterns) {
			if was, is := before[name], after[name]; was != "" && is != "" && was != is {
				renamed = append(renamed, name)
			}
		})
	}
	if len(renamed) == 0 {
		return ""
	}
	return slices.Min(renamed)
}

// claimsText returns " (tenant acme)", or "" without claims.
func claimsText(claims map[string]string) string {
	if len(claims) == 0 {
		return ""
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		parts = append(parts, name+" "+oneLine(claims[name]))
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
