package config

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// aliasGuard bounds what aliases expand to: a few lines can stand for billions of values.
type aliasGuard struct {
	inside int
	values int
	stack  []*yaml.Node
	spent  bool
}

// count counts one value; false when it is one too many.
func (a *aliasGuard) count() bool {
	if a.inside > 0 {
		a.values++
	}
	return a.values <= maxAliasValues
}

// alias decodes what the alias n stands for.
func (d *decoder) alias(n *yaml.Node, path string, decode func(target *yaml.Node)) {
	a := d.aliased
	for _, around := range a.stack {
		if around == n.Alias {
			d.problem(n, path, fmt.Sprintf("*%s stands inside of itself", n.Value), "")
			return
		}
	}
	if n.Alias == nil || a.spent {
		return
	}
	a.inside++
	a.stack = append(a.stack, n.Alias)
	decode(n.Alias)
	a.stack = a.stack[:len(a.stack)-1]
	a.inside--
	if a.values > maxAliasValues && !a.spent {
		a.spent = true
		d.problem(n, path, fmt.Sprintf("aliases stand for more than %d values", maxAliasValues), "")
	}
}
