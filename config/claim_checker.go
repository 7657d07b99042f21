package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/easymicro/easymicro/config/lint"
)

// Bounds of claims.
const (
	MaxClaims      = 8   // that a manifest names
	maxClaimWidths = 100 // ways in which one rule matches claims
)

// claimChecker checks auth.jwt.claims and the rules that use claims.
type claimChecker struct {
	*report
	declared []string // names that rules may use, sorted
}

// reservedClaims are what else rules may match or key by, which a claim of that name would be mistaken for.
var reservedClaims = []string{"caller", "identity", "metadata", "method", "peer", "service", "upstream"}

// uniqueClaims differ from token to token of one caller.
var uniqueClaims = []string{"exp", "iat", "jti", "nbf"}

var claimNameForm = regexp.MustCompile(ClaimNameForm)

func newClaimChecker(r *report) *claimChecker { return &claimChecker{r, r.m.Auth.ClaimNames()} }

// settings checks auth.jwt.claims.
func (c *claimChecker) settings() {
	if c.m.Auth.JWT == nil {
		return
	}
	const path = "auth.jwt.claims"
	claims := c.m.Auth.JWT.Claims
	if len(claims) > MaxClaims {
		c.manifest(lint.BadSetting, path, "names %d claims: at most %d are allowed", len(claims), MaxClaims)
	}
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		at := path + "." + name
		switch claim := claims[name]; {
		case !claimNameForm.MatchString(name):
			c.manifest(lint.BadSetting, at, "%q cannot be a name: use a letter, and up to 63 letters, digits, dashes and underscores; "+
				"the claim follows the colon", clip(name))
		case slices.Contains(reservedClaims, name):
			c.manifest(lint.BadSetting, at, "%s is what rules call something else: choose another name, such as %s_claim", name, name)
		case slices.Contains(uniqueClaims, claim):
			c.manifest(lint.BadSetting, at, "the claim %s differs from token to token: name one that callers have in common", claim)
		}
	}
}

// check checks the claims in the match of a rule.
func (c *claimChecker) check(r *Rule) {
	m := &r.Match
	c.used(r, "match.identity", m.Identity)
	for i := range m.Except {
		c.used(r, r.exceptPath(i)+".identity", m.Except[i].Identity)
	}
	if len(m.Identity) > 0 && slices.Equal(m.Caller, Patterns{"anonymous"}) {
		c.rule(lint.NoEffect, r, "match.identity", "matches no call: anonymous callers have no claims")
	}
}

// used checks the claims that one field of a rule matches.
func (c *claimChecker) used(r *Rule, path string, claims Claims) {
	if claims != nil && len(claims) == 0 {
		c.rule(lint.Empty, r, path, "is empty, which matches every caller: leave the key out")
	}
	for _, name := range claims.Names() {
		c.known(r, path+"."+name, name, func(meant string) string { return meant })
	}
	if n := claims.widths(); n > maxClaimWidths {
		c.rule(lint.BadSetting, r, path, "its lists have patterns of different lengths, in %d combinations: at most %d are allowed; use several rules",
			n, maxClaimWidths)
	}
}

// known checks a claim that a rule uses at path: suggestion returns what to write there instead of the name of another one.
func (c *claimChecker) known(r *Rule, path, name string, suggestion func(name string) string) {
	at := path
	if r.at.written(namePath(path)) {
		at = namePath(path)
	}
	report := func(as lint.Code, message string) *Problem {
		return c.add(as, r.Position(at), join(r.path, path), message)
	}
	switch {
	case r.ClientSide():
		report(lint.Conflicting, "applies to incoming calls only, and match.upstream selects outgoing ones: remove it")
	case c.anyClaim || slices.Contains(c.declared, name):
	case len(c.declared) == 0:
		report(lint.NoSuchName, c.none(name))
	default:
		p := report(lint.NoSuchName, "auth.jwt.claims names no claim "+clip(name))
		if meant := Suggest(name, c.declared); meant != "" {
			p.Suggestion = suggestion(meant)
		}
	}
}

// none returns why callers have no claims.
func (c *claimChecker) none(name string) string {
	switch {
	case c.m.Auth.JWT == nil:
		return fmt.Sprintf("callers have no claims without auth.jwt: its claims: {%s: CLAIM} name those of signed tokens", clip(name))
	case len(c.m.Auth.JWT.Claims) == 0:
		return fmt.Sprintf("auth.jwt.claims names no claims: write claims: {%s: CLAIM}", clip(name))
	default:
		return "callers have no claims: auth.identify does not list jwt"
	}
}
