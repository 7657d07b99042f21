package policies

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
)

// claimSet is the patterns of claims, sorted by the names of these. All of them must match.
type claimSet []claimPatterns

// claimPatterns is the patterns of one claim, one of which must match.
type claimPatterns struct {
	name  string
	globs []glob
}

func newClaimSet(claims config.Claims) claimSet {
	var s claimSet
	for _, name := range claims.Names() {
		s = append(s, claimPatterns{name, compileGlobs(claims[name])})
	}
	return s
}

// match reports whether the claims of a caller match.
func (s claimSet) match(have map[string]string) bool {
	for i := range s {
		if value, ok := have[s[i].name]; !ok || !matchesAny(s[i].globs, value) {
			return false
		}
	}
	return true
}

// narrowest returns how narrowly the claims of a caller are matched, if they are: the sum over the claims, so that two claims are
// narrower than one.
func (s claimSet) narrowest(have map[string]string) (sum int, ok bool) {
	for i := range s {
		value, has := have[s[i].name]
		n, ok := narrowest(s[i].globs, value)
		if !has || !ok {
			return 0, false
		}
		sum += n
	}
	return sum, true
}

// mismatch returns why the claims of a caller do not match, or "".
func (s claimSet) mismatch(have map[string]string) string {
	for _, c := range s {
		value, has := have[c.name]
		if has && matchesAny(c.globs, value) {
			continue
		}
		texts := make([]string, len(c.globs))
		for i := range c.globs {
			texts[i] = c.globs[i].text
		}
		what := config.KeyIdentity + c.name + " " + shortList(texts)
		if !has {
			return what + " matches only callers with this claim (give --identity-claim " + c.name + "=VALUE)"
		}
		return what + " does not match " + shownValue(value)
	}
	return ""
}

// claimsOfWidth is a part of a claimSet whose patterns of one claim are equally narrow.
type claimsOfWidth struct {
	claimSet
	narrowness int
}

// byWidth splits the set by the narrowness with which it can match.
func (s claimSet) byWidth() []claimsOfWidth {
	list := []claimsOfWidth{{}}
	for _, c := range s {
		groups := byNarrowness(c.globs, func(g glob) int { return g.narrowness })
		var longer []claimsOfWidth
		for _, part := range list {
			for _, narrowness := range slices.Sorted(maps.Keys(groups)) {
				longer = append(longer, claimsOfWidth{
					append(slices.Clone(part.claimSet), claimPatterns{c.name, groups[narrowness]}), part.narrowness + narrowness,
				})
			}
		}
		list = longer
	}
	return list
}

// bounds returns the narrowness of the widest and of the narrowest patterns.
func (s claimSet) bounds() (widest, narrowest int) {
	for _, c := range s {
		least, most := config.Exact, 0
		for i := range c.globs {
			least, most = min(least, c.globs[i].narrowness), max(most, c.globs[i].narrowness)
		}
		widest, narrowest = widest+least, narrowest+most
	}
	return widest, narrowest
}

// compare is compareGlobs for claims.
func (s claimSet) compare(o claimSet) (n int, overlap bool) {
	for _, c := range s {
		i := slices.IndexFunc(o, func(other claimPatterns) bool { return other.name == c.name })
		if i < 0 {
			continue
		}
		if _, overlap := compareGlobs(c.globs, o[i].globs); !overlap {
			return 0, false
		}
	}
	_, ours := s.bounds()
	theirs, _ := o.bounds()
	return cmp.Compare(ours, theirs), true
}

// claimGlobs is one pattern for each of some claims.
type claimGlobs map[string]*glob

// with returns the globs with that of one claim.
func (c claimGlobs) with(name string, g *glob) claimGlobs {
	more := make(claimGlobs, len(c)+1)
	maps.Copy(more, c)
	more[name] = g
	return more
}

func (c claimGlobs) narrowness() (sum int) {
	for _, g := range c {
		sum += g.narrowness
	}
	return sum
}

// overlap reports whether there are claims that both match.
func (c claimGlobs) overlap(o claimGlobs) bool {
	for name, g := range c {
		if other := o[name]; other != nil && !g.overlap(other) {
			return false
		}
	}
	return true
}

// texts returns the patterns by claim.
func (c claimGlobs) texts() map[string]string {
	texts := make(map[string]string, len(c))
	for name, g := range c {
		texts[name] = g.text
	}
	return texts
}

// identityText returns claims as they are written in a match: "identity: {tenant: acme}".
func identityText(claims config.Claims) string {
	var parts []string
	for _, name := range claims.Names() {
		parts = append(parts, name+": "+patternsText(claims[name]))
	}
	return "identity: {" + strings.Join(parts, ", ") + "}"
}
