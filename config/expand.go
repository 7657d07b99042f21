package config

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/easymicro/easymicro/config/lint"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// variables expands ${VAR} in the scalar values of a file.
type variables struct {
	env      func(string) (string, bool)
	root     *yaml.Node            // of the file; its x-… keys hold anchors
	expanded map[*yaml.Node]string // the text before the expansion
	unset    map[*yaml.Node]bool   // failed to expand; already reported
	unasked  map[*yaml.Node]string // problems inside x-… keys, reported only if an alias refers there
}

func newVariables(env func(string) (string, bool)) *variables {
	if env == nil {
		env = func(string) (string, bool) { return "", false }
	}
	return &variables{env: env, expanded: map[*yaml.Node]string{}, unset: map[*yaml.Node]bool{}, unasked: map[*yaml.Node]string{}}
}

// expand replaces ${VAR} and ${VAR:-default} in the scalar values below n, which is at a position of the tree (nil: the root), and
// reports the problems. Values are not expanded again; an unquoted scalar gets the type of its expansion.
func (v *variables) expand(n *yaml.Node, at *step, report *recorder) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			v.expand(n.Content[i+1], &step{around: at, key: key, aside: at != nil && at.aside || n == v.root && isExtension(key)}, report)
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			v.expand(c, &step{around: at, index: i, aside: at != nil && at.aside}, report)
		}
	case yaml.ScalarNode:
		if !strings.Contains(n.Value, "${") {
			return
		}
		text, wrong := v.expandText(n.Value)
		for _, w := range wrong {
			if at != nil && at.aside {
				v.unasked[n] = w
				continue
			}
			report.problem(lint.BadVariable, n, at.path(), w, "")
			v.unset[n] = true
		}
		v.expanded[n] = n.Value
		n.Value = text
		if n.Style == 0 {
			n.Tag = plainTag(text)
		}
	}
}

func (v *variables) expandText(s string) (text string, wrong []string) {
	var b strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			b.WriteString(s)
			return b.String(), wrong
		}
		if i > 0 && s[i-1] == '$' {
			b.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		b.WriteString(s[:i])
		inside, rest, closed := strings.Cut(s[i+2:], "}")
		if !closed {
			return b.String(), append(wrong, "${ without }: write $${ for a literal ${")
		}
		s = rest
		name, fallback, hasFallback := strings.Cut(inside, ":-")
		value, set := v.env(name)
		switch {
		case !variableName.MatchString(name):
			wrong = append(wrong, fmt.Sprintf("${%s} is not a variable name: use letters, digits and _, or write $${ for a literal ${", inside))
		case strings.Contains(fallback, "${"):
			wrong = append(wrong, fmt.Sprintf("the default of ${%s} contains another ${: variables are expanded once", name))
		case hasFallback && value == "":
			b.WriteString(fallback)
		case !set:
			wrong = append(wrong, fmt.Sprintf("${%s} is not set, and has no default: ${%s:-default}", name, name))
		default:
			b.WriteString(value)
		}
	}
}

// Variable is where a file uses a variable of the environment.
type Variable struct {
	Name string
	Position
}

// VariablesOf returns the variables that the text of a file uses; none if it is not YAML.
func VariablesOf(file string, data []byte) (list []Variable) {
	root, _, problem := parse(data)
	if problem != nil || root == nil {
		return nil
	}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		for _, c := range n.Content {
			walk(c)
		}
		if n.Kind != yaml.ScalarNode {
			return
		}
		note := func(name string) (string, bool) {
			list = append(list, Variable{name, Position{File: file, Line: n.Line, Column: n.Column}})
			return "", true
		}
		newVariables(note).expandText(n.Value)
	}
	walk(root)
	return list
}

// step is a position in the tree; its path is only built for problems.
type step struct {
	around *step
	key    string
	index  int
	aside  bool // inside an x-… key
}

func (s *step) path() string {
	if s == nil {
		return ""
	}
	if s.key == "" {
		return fmt.Sprintf("%s[%d]", s.around.path(), s.index)
	}
	return join(s.around.path(), s.key)
}

// isExtension reports whether a top-level key is ignored: it holds anchors.
func isExtension(key string) bool { return strings.HasPrefix(key, "x-") }

// aliasGuard bounds the expansion of aliases: a few lines can expand to billions of values.
type aliasGuard struct {
	values int
	stack  []*yaml.Node
	spent  bool
}

// count counts one value and reports whether the bound still holds.
func (a *aliasGuard) count() bool {
	if len(a.stack) > 0 {
		a.values++
	}
	return a.values <= maxAliasValues
}

func (a *aliasGuard) enter(target *yaml.Node) { a.stack = append(a.stack, target) }

// leave reports whether the bound has just been exceeded.
func (a *aliasGuard) leave() (exceeded bool) {
	a.stack = a.stack[:len(a.stack)-1]
	exceeded = a.values > maxAliasValues && !a.spent
	a.spent = a.spent || exceeded
	return exceeded
}
