package config

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces ${VAR} and ${VAR:-default} in the scalar values below n, once: what a variable holds is not looked at
// again. An unquoted scalar is typed by what it became.
func (d *decoder) expand(n *yaml.Node, at *step) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			d.expand(n.Content[i+1], &step{around: at, key: key, aside: at != nil && at.aside || n == d.root && isExtension(key)})
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			d.expand(c, &step{around: at, index: i, aside: at != nil && at.aside})
		}
	case yaml.ScalarNode:
		if !strings.Contains(n.Value, "${") {
			return
		}
		text, wrong := d.expandText(n.Value)
		for _, w := range wrong {
			if at != nil && at.aside {
				d.unasked[n] = w
				continue
			}
			d.problem(n, at.path(), w, "")
			d.unset[n] = true
		}
		d.expanded[n] = n.Value
		n.Value = text
		if n.Style == 0 {
			n.Tag = plainTag(text)
		}
	}
}

func (d *decoder) expandText(s string) (text string, wrong []string) {
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
		value, set := d.env(name)
		switch {
		case !variableName.MatchString(name):
			wrong = append(wrong, fmt.Sprintf("${%s} is no variable: letters, digits and _; write $${ for a literal ${", inside))
		case strings.Contains(fallback, "${"):
			wrong = append(wrong, fmt.Sprintf("the default of ${%s} holds another ${: variables are expanded once", name))
		case hasFallback && value == "":
			b.WriteString(fallback)
		case !set:
			wrong = append(wrong, fmt.Sprintf("${%s} is not set, and has no default: ${%s:-default}", name, name))
		default:
			b.WriteString(value)
		}
	}
}

// step is the way down to a value; its path is only made when there is something to say.
type step struct {
	around *step
	key    string
	index  int
	aside  bool // inside of an x-… key
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

// isExtension reports whether a key of the top level is ignored: what stands in it is there for anchors.
func isExtension(key string) bool { return strings.HasPrefix(key, "x-") }
