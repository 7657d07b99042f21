package wire

import (
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// jsonFields adds the members of a struct and of those embedded in it, level by level: of several with one name the least
// deep counts, and the one with a tag.
func jsonFields(s *shaper, r *shape, t reflect.Type) {
	type level struct {
		of    reflect.Type
		boxed int
	}
	r.folded, r.direct = map[string]*shape{}, map[string]int{}
	tagged, seen := map[string]bool{}, map[reflect.Type]bool{t: true}
	for queue := []level{{t, 0}}; len(queue) > 0; queue = queue[1:] {
		for f := range queue[0].of.Fields() {
			tag := f.Tag.Get("json")
			name, options, _ := strings.Cut(tag, ",")
			inner := structBehind(f.Type)
			embed := strings.Contains(options, "embed")
			switch {
			case tag == "-" || !f.IsExported() && !f.Anonymous:
			case inner != nil && (embed || f.Anonymous && name == ""):
				if !seen[inner] {
					seen[inner] = true
					queue = append(queue, level{inner, queue[0].boxed + boxedBy(f.Type)})
				}
			case embed:
				if r.rest = s.of(f.Type); r.rest.kind == asDict {
					r.rest = r.rest.elem
				}
			default:
				if name == "" {
					name = f.Name
				}
				if name = strings.Trim(name, "'"); r.members[name] == nil || f.Tag.Get("json") != "" && !tagged[name] {
					m := s.of(f.Type)
					if b := queue[0].boxed; b > 0 {
						m = &shape{kind: asPointer, boxed: b, elem: m}
					}
					r.members[name], tagged[name] = m, tag != ""
					if m.kind == asList && queue[0].of == t {
						r.direct[foldedName([]byte(name))] = f.Index[0]
					}
					r.folded[foldedName([]byte(name))] = m
				}
			}
		}
	}
}

// boxedBy is what an embedded pointer leads to, which is made with the first member that it has.
func boxedBy(t reflect.Type) int {
	if t.Kind() == reflect.Pointer {
		return rounded(int(t.Elem().Size()))
	}
	return 0
}

// foldedName is the same for names that differ in case only.
func foldedName(name []byte) string {
	folded := make([]byte, 0, 32)
	for i := 0; i < len(name); {
		c := name[i]
		if c < utf8.RuneSelf {
			if 'a' <= c && c <= 'z' {
				c -= 'a' - 'A'
			}
			folded = append(folded, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(name[i:])
		folded = utf8.AppendRune(folded, foldedRune(r))
		i += n
	}
	return string(folded)
}

// foldedRune is the smallest of the runes that are the same without regard to case.
func foldedRune(r rune) rune {
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}
