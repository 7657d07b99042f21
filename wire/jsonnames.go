package wire

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// jsonMember is a member of the objects of a struct.
type jsonMember struct {
	name   string
	typ    reflect.Type
	index  []int // of the field
	boxed  int   // what embedded pointers on the way to it lead to
	tagged bool
	twice  bool // there are others, so that none counts
}

// jsonMembers gives the members of a struct and of those embedded in it, in the order of the fields, and the type of the
// field that takes all others, if there is one. Of several members with one name the least deep counts, and the one with
// a tag; otherwise none.
func jsonMembers(t reflect.Type) (members []jsonMember, rest reflect.Type) {
	type embedded struct {
		in    reflect.Type
		index []int
		boxed int
	}
	known, seen := map[string]*jsonMember{}, map[reflect.Type]bool{t: true}
	for queue := []embedded{{in: t}}; len(queue) > 0; queue = queue[1:] {
		for f := range queue[0].in.Fields() {
			tag := f.Tag.Get("json")
			name, options, _ := strings.Cut(tag, ",")
			name = strings.Trim(name, "'")
			index := slices.Concat(queue[0].index, f.Index)
			inner, embed := structBehind(f.Type), strings.Contains(options, "embed")
			switch {
			case tag == "-" || !f.IsExported() && (!f.Anonymous || inner == nil):
			case inner != nil && (embed || f.Anonymous && name == ""):
				if !seen[inner] {
					seen[inner] = true
					queue = append(queue, embedded{inner, index, queue[0].boxed + boxedBy(f.Type)})
				}
			case embed:
				rest = f.Type
			default:
				m := &jsonMember{cmp.Or(name, f.Name), f.Type, index, queue[0].boxed, name != "", false}
				switch old := known[m.name]; {
				case old == nil || len(old.index) == len(index) && m.tagged && !old.tagged:
					known[m.name] = m
				case len(old.index) == len(index) && m.tagged == old.tagged:
					old.twice = true
				}
			}
		}
	}
	for _, m := range known {
		if !m.twice {
			members = append(members, *m)
		}
	}
	slices.SortFunc(members, func(a, b jsonMember) int { return slices.Compare(a.index, b.index) })
	return members, rest
}

// jsonFields adds the members of a struct to its shape.
func jsonFields(s *shaper, r *shape, t reflect.Type) {
	members, rest := jsonMembers(t)
	r.folded, r.direct = map[string]string{}, map[string]int{}
	for _, m := range members {
		inner := s.of(m.typ)
		if inner.kind == asList && len(m.index) == 1 {
			r.direct[m.name] = m.index[0]
		}
		if m.boxed > 0 {
			inner = &shape{kind: asPointer, boxed: m.boxed, elem: inner}
		}
		r.members[m.name] = inner
		folded := foldedName([]byte(m.name))
		r.alike = r.alike || r.folded[folded] != ""
		r.folded[folded] = m.name
		r.names = append(r.names, m.name)
	}
	if rest != nil {
		if r.rest = s.of(rest); r.rest.kind == asDict {
			r.rest = r.rest.elem
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
