package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/easymicro/easymicro/config"
)

// found is a node of a file with its key and its parent.
type found struct {
	node, key, around *yaml.Node
}

// nodeAt finds the node at a position: the outermost of several, or the innermost, which may be a key. A value is found
// with its key.
func nodeAt(n *yaml.Node, line, column int, innermost bool) (f found, ok bool) {
	if n.Line == line && n.Column == column && n.Kind != yaml.DocumentNode && (!innermost || n.Kind == yaml.ScalarNode) {
		return found{node: n}, true
	}
	for i, c := range n.Content {
		if f, ok = nodeAt(c, line, column, innermost); ok {
			if f.around == nil {
				f.around = n
				if n.Kind == yaml.MappingNode && i%2 == 1 {
					f.key = n.Content[i-1]
				}
			}
			return f, true
		}
	}
	return f, false
}

// offset returns the byte offset of a position.
func offset(data []byte, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		at += bytes.IndexByte(data[at:], '\n') + 1
	}
	for ; column > 1; column-- {
		_, size := utf8.DecodeRune(data[at:])
		at += size
	}
	return at
}

// end returns the offset of the end of a value: a word, or what is in quotes or brackets.
func end(data []byte, at int, n *yaml.Node) int {
	rest := data[at:]
	switch {
	case n.Kind == yaml.ScalarNode && n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return at + 2 + bytes.IndexByte(rest[1:], rest[0])
	case n.Kind == yaml.ScalarNode && rest[0] == '!':
		return at + bytes.IndexAny(rest, " ,}\n")
	case n.Kind == yaml.ScalarNode:
		return at + len(n.Value)
	case rest[0] == '{' || rest[0] == '[':
		depth := 0
		for i, b := range rest {
			switch b {
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return at + i + 1
				}
			}
		}
	}
	return -1
}

var hintForms = struct{ offers, fields, write *regexp.Regexp }{
	offers: regexp.MustCompile(`: (\S+(?:, \S+)*) or (\S+)\?$`),
	fields: regexp.MustCompile(`: (rate: \S+, per: \S+)$`),
	write:  regexp.MustCompile(`: write ("\S+"), or ("\S+") for`),
}

// hints returns the texts that a problem suggests.
func hints(p *config.Problem) (list []string) {
	if p.Suggestion != "" {
		list = append(list, p.Suggestion)
	}
	if m := hintForms.offers.FindStringSubmatch(p.Message); m != nil {
		list = append(append(list, strings.Split(m[1], ", ")...), m[2])
	}
	if m := hintForms.write.FindStringSubmatch(p.Message); m != nil {
		list = append(list, m[1], m[2])
	}
	if m := hintForms.fields.FindStringSubmatch(p.Message); m != nil {
		list = append(list, m[1])
	}
	for _, words := range []string{"leave out the quotes", "write it in quotes"} {
		if strings.HasSuffix(p.Message, words) {
			list = append(list, words)
		}
	}
	return list
}

// follow replaces the value of a problem by a hint, verbatim.
func follow(t *testing.T, data []byte, p *config.Problem, hint string) []byte {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	f, ok := nodeAt(&doc, p.Line, p.Column, strings.HasPrefix(p.Message, "unknown key"))
	if !ok {
		t.Fatalf("nothing is at %s", p)
	}
	from := offset(data, p.Line, p.Column)
	until := end(data, from, f.node)
	switch {
	case hint == "leave out the quotes":
		hint = f.node.Value
	case hint == "write it in quotes":
		hint = `"` + f.node.Value + `"`
	case strings.HasPrefix(p.Message, "unknown key") && !strings.Contains(hint, ": "): // another key
		until = from + len(f.node.Value)
	case strings.HasPrefix(p.Message, "unknown key"): // another key with another value
		for i, c := range f.around.Content {
			if c == f.node {
				v := f.around.Content[i+1]
				until = end(data, offset(data, v.Line, v.Column), v)
			}
		}
		hint = onLines(f.around, hint)
	case f.key != nil && strings.HasPrefix(hint, f.key.Value+": "): // this key and one more
		from = offset(data, f.key.Line, f.key.Column)
		hint = onLines(f.around, hint)
	}
	if until < from {
		t.Fatalf("the end of the value is unknown: %s", p)
	}
	return []byte(string(data[:from]) + hint + string(data[until:]))
}

var nextField = regexp.MustCompile(`, ([a-zA-Z]+: )`)

// onLines puts each field of a hint on a line of its own in a block mapping.
func onLines(around *yaml.Node, hint string) string {
	if around.Style&yaml.FlowStyle != 0 || strings.Contains(hint, "{") {
		return hint
	}
	return nextField.ReplaceAllString(hint, "\n"+strings.Repeat(" ", around.Column-1)+"$1")
}

// at reports whether a problem is about the value at a path, or a part of it.
func at(p *config.Problem, path string) bool {
	return p.Path == path || strings.HasPrefix(p.Path, path+".") || strings.HasPrefix(p.Path, path+"[")
}

func TestEveryHintSolvesItsProblem(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var followed atomic.Int64
	t.Run("files", func(t *testing.T) {
		for _, file := range files {
			t.Run(filepath.Base(file), func(t *testing.T) {
				t.Parallel() // so that the race detector sees whether decoders share anything
				followed.Add(int64(followAll(t, file)))
			})
		}
	})
	const want = 242 // a hint in new words would not be recognized
	if followed.Load() != want {
		t.Errorf("%d hints were followed, want %d", followed.Load(), want)
	}
}

// followAll follows each hint of a file's problems, one at a time, and returns their number.
func followAll(t *testing.T, file string) (followed int) {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(file)
	_, problems := decodeSet(name, data)
	for _, p := range problems {
		for _, hint := range hints(&p) {
			if strings.Contains(hint, "…") {
				t.Errorf("%s: the hint is to be filled in", p)
				continue
			}
			followed++
			_, left := decodeSet(name, follow(t, data, &p, hint))
			for _, q := range left.Errors() {
				if remains(&p, &q, hint) {
					t.Errorf("%s\n\twith %s: %s", p, hint, q)
				}
			}
		}
	}
	return followed
}

// remains reports whether q is still the problem p, or one that following the hint caused.
func remains(p, q *config.Problem, hint string) bool {
	if q.Line > 0 && at(q, p.Path) && q.Message != "is required" {
		return true
	}
	key, _, isPair := strings.Cut(hint, ": ")
	around := p.Path[:max(strings.LastIndexByte(p.Path, '.'), 0)]
	return strings.HasPrefix(p.Message, "unknown key") && at(q, strings.TrimPrefix(around+"."+key, ".")) &&
		(isPair || strings.HasPrefix(q.Message, "unknown"))
}
