package config

import (
	"bytes"
	"slices"

	"go.yaml.in/yaml/v4"
)

// PutBack returns the text of the file of a rule with the lines of the rule as another text has them or, if was is nil, without them. It
// is up to the caller to check what the result says: lines may have more than the rule.
func PutBack(r *Rule, text []byte, was *Rule, wasText []byte) ([]byte, error) {
	now, err := linesOf(r, text)
	if err != nil {
		return nil, err
	}
	var then ruleLines
	if was != nil {
		if then, err = linesOf(was, wasText); err != nil {
			return nil, err
		}
		if now.column != then.column {
			return nil, notPutBack(r)
		}
	}
	lines := wasText[then.from:then.to]
	if len(lines) > 0 && !bytes.HasSuffix(lines, []byte("\n")) {
		lines = append(slices.Clip(lines), '\n')
	}
	return slices.Concat(text[:now.from], lines, text[now.to:]), nil
}

func notPutBack(r *Rule) error {
	return Problems{r.Position("name").Problem(join(r.path, "name"), "cannot be put back by itself: it shares its lines with others")}
}

// ruleLines is where the lines of a rule are in a text.
type ruleLines struct{ from, to, column int }

// linesOf returns the lines of a rule that shares them with no other.
func linesOf(r *Rule, text []byte) (l ruleLines, err error) {
	root, _, problem := parse(text)
	if problem != nil {
		return l, Problems{*problem}
	}
	rule := mappingNamed(root, r.Position("name"))
	if rule == nil {
		return l, notPutBack(r)
	}
	next := 0 // line of the first node after the rule; 0: none
	for todo := []*yaml.Node{root}; len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n == rule {
			continue
		}
		todo = append(todo, n.Content...)
		switch after := n.Line > rule.Line || n.Line == rule.Line && n.Column > rule.Column; {
		case after && n.Line == rule.Line:
			return l, notPutBack(r)
		case after && (next == 0 || n.Line < next):
			next = n.Line
		case n.Line == rule.Line && n.Kind == yaml.MappingNode && n.Column < rule.Column:
			return l, notPutBack(r)
		}
	}
	l = ruleLines{offsetOf(text, rule.Line, 1), len(text), rule.Column}
	if next > 0 {
		l.to = offsetOf(text, next, 1)
	}
	if !bytes.HasPrefix(bytes.TrimLeft(text[l.from:], " "), []byte("-")) {
		return l, notPutBack(r)
	}
	return l, nil
}
